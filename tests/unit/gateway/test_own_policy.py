"""What the gateway tells a session of what it may reach."""

from pathlib import Path
from typing import Any

from tests.unit.gateway.rig import HOST, Rig, host, policy, rig, route, run
from tests.unit.gateway.test_agents import admit, in_thread

REGISTRIES = [{"manager": "pip", "host": "packages.test"}]
ASKED = {"verdict": "allowed", "rule": "own-policy", "session": "s", "host": None, "target": "/.policy"}


async def told(made: Rig) -> dict[str, Any]:
    """What the session `s` hears."""
    answer = await made.ask("GET", "/.policy")
    assert (answer.status, answer["content-type"], answer["connection"]) == (200, "application/json", "close")
    return answer.told()


def test_a_session_hears_what_it_may_reach_and_nothing_of_others(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, registries=REGISTRIES) as made:
            theirs, ours = {"sessions": ["other"]}, {"sessions": ["s"]}
            await made.use(
                hosts=[host(1), host(2, "mine.test", **ours), host(3, "theirs.test", **theirs)],
                routes=[
                    route(4, "file:/k", "all"),
                    route(5, "file:/k", "mine", **ours),
                    route(6, "file:/k", "theirs", **theirs),
                    route(7, "file:/k", "both", **ours),
                    route(8, "file:/k", "both", **theirs),
                ],
            )
            field = "config.networking.allowed_hosts[0]"
            found = await told(made)
            assert found == {
                "environment": "e",
                "session": "s",
                "networking": "limited",
                "in_force": True,
                "hosts": [
                    {"host": HOST, "port": 1, "field": field},
                    {"host": "mine.test", "port": 2, "field": field},
                ],
                "routes": ["all", "both", "mine"],
                "package_managers": False,
                "registries": [],
            }
            (decision,) = await made.logged("decision")
            assert decision.items() >= ASKED.items()

    run(work())


def test_registries_are_among_the_hosts_where_package_managers_are_allowed(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, registries=REGISTRIES) as made:
            await made.use(**policy(package_managers=True))
            found = await told(made)
            assert (found["package_managers"], found["registries"]) == (True, ["packages.test"])
            field = "config.networking.allow_package_managers"
            assert found["hosts"] == [{"host": "packages.test", "port": 443, "field": field}]

    run(work())


def test_a_session_hears_of_a_new_policy_and_of_none(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            assert (await told(made))["in_force"]
            await in_thread(admit, made, agents={})
            (tmp_path / "policy.json").write_text("{}")
            await made.gateway.look()
            found = await told(made)
            assert (found["in_force"], found["session"], found["hosts"], found["routes"]) == (False, "s", [], [])
            await made.use(hosts=[host(1)])
            assert [one["host"] for one in (await told(made))["hosts"]] == [HOST]

    run(work())


def test_a_stranger_hears_nothing_and_others_than_get_are_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, hosts=[host(1)]) as made:
            assert (await made.ask("HEAD", "/.policy")).status == 200
            for method in ("POST", "PUT", "DELETE"):
                assert (await made.ask(method, "/.policy", body=b"{}")).told()["rule"] == "method-refused"
            for path in ("/.policy/", "/.policy?x", "/.Policy", "//.policy"):
                assert (await made.ask("GET", path)).told()["rule"] == "unknown-route"
            await made.use(hosts=[host(1)], identities=[])
            answer = await made.ask("GET", "/.policy")
            assert (answer.status, answer.told()["rule"]) == (403, "unknown-session")
            assert HOST not in answer.body.decode()

    run(work())


def test_agents_need_no_token_to_ask(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, identities=[]) as made:
            await in_thread(admit, made)
            assert (await told(made))["session"] == "s"

    run(work())
