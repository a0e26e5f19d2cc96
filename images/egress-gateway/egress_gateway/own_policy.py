"""What a session may reach, told to the session itself: `GET /.policy` on the gateway's own address."""

import json
from collections.abc import Iterator

from egress_gateway.denial import Denied
from egress_gateway.policy import PACKAGE_MANAGERS, Policy

PATH = b"/.policy"


def effective(policy: Policy | None, session: str) -> dict[str, object]:
    """The policy in force for one session.

    Returns:
        `environment` and `networking` (None while there is no policy), `session`, `in_force`, `hosts` (`host`, `port`
        and `field`, the stack file's, of each), `routes` (names), `package_managers`, and `registries`: those of
        `hosts` that are package registries.
    """
    told: dict[str, object] = {"environment": None, "session": session, "networking": None, "in_force": False}
    told |= {"hosts": [], "routes": [], "package_managers": False, "registries": []}
    if policy is None:
        return told
    hosts = [entry for entry in policy.hosts if entry.sessions is None or session in entry.sessions]
    return told | {
        "environment": policy.environment,
        "networking": policy.document.networking,
        "in_force": True,
        "hosts": [{"host": entry.host, "port": entry.port, "field": entry.field} for entry in hosts],
        "routes": sorted(set(_routes(policy, session))),
        "package_managers": policy.document.package_managers,
        "registries": [entry.host for entry in hosts if entry.field == PACKAGE_MANAGERS],
    }


def _routes(policy: Policy, session: str) -> Iterator[str]:
    for route in policy.all_routes:
        try:
            yield policy.route(session, route.name).name
        except Denied:
            continue


def response(policy: Policy | None, session: str, *, head_only: bool = False) -> bytes:
    """The whole HTTP answer; the connection ends after it."""
    body = json.dumps(effective(policy, session)).encode() + b"\n"
    head = (
        "HTTP/1.1 200 OK\r\n"
        "content-type: application/json\r\n"
        "cache-control: no-store\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
