"""Runs the whole program against Pulumi's mocks and keeps what it registered."""

from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest

from components import base_image, fargate
from components.environment import Environment
from components.models.stack import Stack
from components.session import Session

DIGEST = f"sha256:{'d' * 64}"
TOKEN_SHA256 = "5e" * 32
"""Stands for the hash of a service's token."""


@dataclass
class Registered:
    """One registration: what the engine would have been told."""

    type: str
    name: str
    inputs: dict[str, Any]


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Answers as AWS would, and remembers what was asked."""

    seen: list[Registered] = field(default_factory=list)
    preview: bool = False

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.seen.append(Registered(args.typ, args.name, args.inputs))
        computed = {
            "arn": f"arn:aws:mock:eu-west-1:123456789012:{args.name}",
            "repositoryUrl": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{args.inputs.get('name')}",
            "digest": DIGEST,
            "prefixListId": "pl-s3",
            "publicIp": "203.0.113.9",
            "hostedZone": "Z1",
            "keyId": "key",
        }
        return f"{args.name}-id", {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # type: ignore[override]
        answers: dict[str, dict[str, Any]] = {
            "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "123456789012"},
            "aws:index/getPartition:getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com"},
            "aws:index/getAvailabilityZones:getAvailabilityZones": {"names": ["a", "b", "c", "d"]},
            "aws:ecr/getAuthorizationToken:getAuthorizationToken": {
                "proxyEndpoint": "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                "userName": "AWS",
                "password": "p",
            },
        }
        return answers[args.token]

    def of(self, kind: str) -> list[Registered]:
        """Registrations whose type ends in `kind`, e.g. `ec2/vpc:Vpc`."""
        return [one for one in self.seen if one.type.endswith(kind)]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(base_image, "pinned", lambda reference: f"{reference}@{DIGEST}")
    monkeypatch.setattr(fargate.runtime, "pinned", base_image.pinned)
    return Recorder()


def declare(stack: Stack) -> None:
    """What the stack program does, without configuration."""
    runtime = fargate.Fargate("agents", {"stack": stack, "region": "eu-west-1"})
    for model in stack.environments:
        sessions = stack.sessions_of(model.name)
        environment = Environment(model.name, {"runtime": runtime, "environment": model, "sessions": sessions})
        for session in sessions:
            if session.is_service or session.schedule:
                Session(session.name, {"environment": environment, "session": session})


def run(recorder: Recorder, stack: Stack, *, preview: bool = False, name: str = "test") -> Recorder:
    """Register everything of `stack`; returns when all of it has been."""
    pulumi.runtime.set_mocks(recorder, stack=name, project="p", preview=preview)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        declare(stack)

    program()
    return recorder
