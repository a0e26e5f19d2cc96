"""The secret that the gateway adds is nowhere but at the gateway and at its origin."""

import json
import subprocess

import pytest

from tests.attack.cases import Case
from tests.attack.inside.cases import single
from tests.attack.inside.conftest import CANARY, Rig
from tests.attack.inside.outside import ALLOWED
from tests.attack.inside.programs import container, proxied
from tests.attack.inside.sessions import Session
from tests.attack.inside.ways import assert_nothing_arrived

pytestmark = pytest.mark.containers

TOPIC = "Secrets"
OWN = "own-credential-of-the-session"


@pytest.fixture(scope="module", autouse=True)
def trusted(rig: Rig) -> None:
    """The gateways trust the rig's authority, as they would one that is in the stack's base image."""
    for environment in ("limited", "open"):
        rig.trust_authority(environment)


@single(
    TOPIC,
    "injected-route",
    "a request on a credential route, with credentials of the session's own in it",
    "the origin gets the gateway's secret and none of the session's",
)
def test_injected_route(case: Case, rig: Rig, desk: Session) -> None:
    with rig.outside.watch() as seen:
        status, body = desk.run(proxied, "route", "MODEL", [f"authorization: Bearer {OWN}", f"x-api-key: {OWN}"])
    assert status == 200, body
    (request,) = seen.requests
    assert request.place == (ALLOWED, 443)
    headers = dict(request.headers)
    assert headers["x-api-key"] == CANARY
    assert "authorization" not in headers
    assert OWN not in json.dumps(request.headers)


@single(TOPIC, "others-route", "another session's credential route", "403; nothing arrives")
def test_others_route(case: Case, rig: Rig, lab: Session) -> None:
    with rig.outside.watch() as seen:
        status, _ = lab.run(proxied, "route", "MODEL", [])
    assert status == 403
    assert_nothing_arrived(seen)


@single(
    TOPIC,
    "canary-in-session",
    "the secret in the environment of any process and in any file that the session can read",
    "it is not there",
)
def test_canary_in_session(case: Case, desk: Session) -> None:
    marker = "marker-of-the-suite-5c1b0e"
    desk.run(proxied, "trust", marker)
    assert desk.run(container, "search", marker) == [proxied.AUTHORITY]
    assert desk.run(container, "search", "AGENTENV_GATEWAY=")
    assert desk.run(container, "search", CANARY) == []


@single(
    TOPIC,
    "canary-outside-session",
    "the secret in what the engine and Pulumi keep: settings and logs of every container, layers of every image, state",
    "it is not there",
)
def test_canary_outside_session(case: Case, rig: Rig, desk: Session) -> None:
    images = rig.environment("limited").images
    # The control: the reference is where it belongs, and is found.
    assert str(rig.secret) in rig.deployment.state()
    assert CANARY not in rig.deployment.state()
    assert CANARY not in rig.deployment.outputs.model_dump_json()
    for one in rig.client.containers.list(all=True, filters={"label": "agentenv.stack=attack-suite"}):
        assert CANARY not in json.dumps(one.attrs), one.name
        assert CANARY.encode() not in one.logs(), one.name
    for image in (images.session, images.gateway, images.fence):
        shown = rig.client.images.get(image)
        assert CANARY not in json.dumps([shown.attrs, shown.history()])
    # Layers hold files, and a container sees those of all: the gateway's alone has the secret, from the host.
    gateway = rig.client.containers.get(rig.environment("limited").gateway.container)
    for target, expected in ((gateway, ["/run/secrets/MODEL"]), (desk.fence, [])):
        grep = ["grep", "-rlsF", "--exclude-dir=proc", "--exclude-dir=sys", CANARY, "/"]
        found = subprocess.run(
            ["docker", "exec", str(target.name), *grep],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert found.stdout.split() == expected, target.name
