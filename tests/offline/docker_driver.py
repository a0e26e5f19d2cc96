"""Runs the docker stand-in as Pulumi's engine does, as a process, with Python dicts in and out."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from offline.aws import wire

Props = dict[str, Any]
SEED = bytes(32)


class CallError(Exception):
    """What the engine would show for a call that ended with a gRPC error."""


@dataclass(frozen=True)
class Deployed:
    """What the engine keeps of one resource between two steps."""

    token: str
    name: str
    id: str
    inputs: Props
    state: Props
    secrets: frozenset[str] = frozenset()

    @property
    def urn(self) -> str:
        return _urn(self.token, self.name)


@dataclass(frozen=True)
class Difference:
    changed: set[str]
    replaces: set[str]
    delete_first: bool


@dataclass
class Driver:
    """One plugin process, and what is left of what it made."""

    stub: Any
    left: dict[str, Deployed] = field(default_factory=dict)

    def check(self, token: str, inputs: Props, name: str = "subject", old: Props | None = None) -> Any:
        """Returns the checked inputs, and the reasons of refusal by property path."""
        response = self._call(
            "Check",
            provider_pb2.CheckRequest(
                urn=_urn(token, name), news=wire.encode(inputs), olds=wire.encode(old or {}), randomSeed=SEED
            ),
        )
        return wire.decode(response.inputs), {failure.property: failure.reason for failure in response.failures}

    def preview(self, token: str, inputs: Props) -> Props:
        """Returns what a preview tells of a resource that is to be made."""
        request = provider_pb2.CreateRequest(urn=_urn(token, "subject"), properties=wire.encode(inputs), preview=True)
        return wire.decode(self._call("Create", request).properties)

    def create(self, token: str, inputs: Props, name: str = "subject", *, secrets: tuple[str, ...] = ()) -> Deployed:
        """Checks and creates."""
        checked = self._checked(token, inputs, name, None)
        request = provider_pb2.CreateRequest(urn=_urn(token, name), properties=wire.encode(checked, secrets))
        response = self._call("Create", request)
        state, kept = wire.decode(response.properties), wire.secret_keys(response.properties)
        deployed = Deployed(token, name, response.id, checked, state, kept)
        self.left[response.id] = deployed
        return deployed

    def diff(self, deployed: Deployed, inputs: Props, ignore: tuple[str, ...] = ()) -> Difference:
        """Returns what the next deployment with these inputs would change."""
        checked = self._checked(deployed.token, inputs, deployed.name, deployed.inputs)
        request = provider_pb2.DiffRequest(
            urn=deployed.urn,
            id=deployed.id,
            olds=wire.encode(deployed.state),
            old_inputs=wire.encode(deployed.inputs),
            news=wire.encode(checked),
            ignoreChanges=ignore,
        )
        response = self._call("Diff", request)
        return Difference(set(response.diffs), set(response.replaces), response.deleteBeforeReplace)

    def update(self, deployed: Deployed, inputs: Props) -> Deployed:
        """Updates in place; fails where the engine would replace instead."""
        difference = self.diff(deployed, inputs)
        assert not difference.replaces, difference
        checked = self._checked(deployed.token, inputs, deployed.name, deployed.inputs)
        request = provider_pb2.UpdateRequest(
            urn=deployed.urn,
            id=deployed.id,
            olds=wire.encode(deployed.state),
            old_inputs=wire.encode(deployed.inputs),
            news=wire.encode(checked),
        )
        response = self._call("Update", request)
        return replace(deployed, inputs=checked, state=wire.decode(response.properties))

    def refresh(self, deployed: Deployed) -> Deployed | None:
        """Returns the resource as the engine has it, None if it is gone."""
        request = provider_pb2.ReadRequest(
            urn=deployed.urn,
            id=deployed.id,
            properties=wire.encode(deployed.state, deployed.secrets),
            inputs=wire.encode(deployed.inputs),
        )
        response = self._call("Read", request)
        if not response.id:
            self.left.pop(deployed.id, None)
            return None
        return replace(deployed, inputs=wire.decode(response.inputs), state=wire.decode(response.properties))

    def delete(self, deployed: Deployed) -> None:
        """Deletes the resource."""
        self._call(
            "Delete",
            provider_pb2.DeleteRequest(urn=deployed.urn, id=deployed.id, properties=wire.encode(deployed.state)),
        )
        self.left.pop(deployed.id, None)

    def clean(self) -> None:
        """Deletes what is left, users before what they use."""
        for deployed in reversed(list(self.left.values())):
            self.delete(deployed)

    def _checked(self, token: str, inputs: Props, name: str, old: Props | None) -> Props:
        checked, failures = self.check(token, inputs, name, old)
        assert not failures, failures
        return dict(checked)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=120)
        except grpc.RpcError as error:
            raise CallError(error.details()) from None


@contextmanager
def running(variables: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Driver]:
    """Starts a plugin process and configures it; stops it by its pid.

    Args:
        variables: configuration, e.g. `docker:config:host`.
        environment: the process's own.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "offline.docker"], stdout=subprocess.PIPE, text=True, env=dict(environment)
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                driver = Driver(provider_pb2_grpc.ResourceProviderStub(channel))
                driver.stub.Configure(provider_pb2.ConfigureRequest(variables=variables))
                try:
                    yield driver
                finally:
                    driver.clean()
        finally:
            process.terminate()


def _urn(token: str, name: str) -> str:
    return f"urn:pulumi:test::test::{token}::{name}"
