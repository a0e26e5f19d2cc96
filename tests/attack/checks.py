"""What every denial must look like to the session and in the log, and the control that shows that the way is open."""

from http import HTTPStatus
from typing import Any

from tests.attack.rig.client import Client, Reply
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.world import ALLOWED, Seen, World

BODY_KEYS = {"rule", "host", "port", "session", "retry", "message"}


def assert_denial(
    reply: Reply, rule: str, *, status: int = HTTPStatus.FORBIDDEN, retry: bool = False
) -> dict[str, Any]:
    """The reply names the rule in its header and in its body, and says whether a retry helps; returns the body."""
    assert (reply.status, reply.rule) == (status, rule), reply
    assert reply.headers["content-type"] == "application/json"
    body: dict[str, Any] = reply.json()
    assert body.keys() >= BODY_KEYS
    assert (body["rule"], body["retry"]) == (rule, retry)
    assert body["message"]
    return body


def assert_untouched(seen: Seen) -> None:
    """No server was reached and no name was asked for."""
    assert (seen.places, seen.bytes, seen.queries) == (set(), 0, [])


def assert_open(world: World, client: Client | None = None) -> None:
    """The positive control: the allowed host answers through the same gateway, and is the one reached."""
    with world.watch() as seen:
        reply = (client or world.desk).https("allowed.test", world.trust)
        assert (reply.status, reply.json()["address"]) == (HTTPStatus.OK, ALLOWED)
    assert seen.addresses == {ALLOWED}


def decision_since(gateway: Gateway, start: int, rule: str | None = None) -> dict[str, Any]:
    """The one decision that the gateway logged from byte `start` on; it may come a moment after the answer.

    Args:
        gateway: Whose log.
        start: Where the log ended before.
        rule: The decision's; None for any. That of a request on a route may come after the next one's question.
    """

    def decisions() -> list[dict[str, Any]]:
        return [line for line in gateway.log(start) if line["event"] == "decision" and rule in (None, line["rule"])]

    wait_for("the decision is in the log", lambda: bool(decisions()), seconds=3)
    (decision,) = decisions()
    return decision
