"""Calls the stand-in provider as the engine does, step by step, with Python dicts in and out."""

from dataclasses import dataclass, replace
from typing import NoReturn

import grpc
from pulumi.runtime.proto import provider_pb2

from offline.aws import schema, wire
from offline.aws.provider import Provider
from offline.aws.resource import Aws, Props

SEED = bytes(32)


class CallError(Exception):
    """What the engine would show for a call that ended with a gRPC error."""


class RefusingContext:
    """A call's context that raises what the engine would get."""

    def abort(self, code: grpc.StatusCode, message: str) -> NoReturn:
        raise CallError(message)


@dataclass(frozen=True)
class Deployed:
    """What the engine keeps of one resource between two steps."""

    token: str
    name: str
    id: str
    inputs: Props
    state: Props

    @property
    def urn(self) -> str:
        return _urn(self.token, self.name)


@dataclass(frozen=True)
class Difference:
    changed: list[str]
    replaces: list[str]
    delete_first: bool


class Driver:
    """One provider process, without the process."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self._provider = Provider(aws)

    def check(self, token: str, name: str, inputs: Props, old: Props | None = None) -> tuple[Props, dict[str, str]]:
        """Returns the checked inputs, and the reasons of refusal by property path."""
        request = provider_pb2.CheckRequest(urn=_urn(token, name), news=wire.encode(inputs), randomSeed=SEED)
        if old is not None:
            request.olds.CopyFrom(wire.encode(old))
        response = self._provider.Check(request, RefusingContext())
        return wire.decode(response.inputs), {failure.property: failure.reason for failure in response.failures}

    def create(self, token: str, name: str, inputs: Props) -> Deployed:
        """Checks and creates; fails on a refused input and on an output that the SDK does not declare."""
        checked = self._checked(token, name, inputs, None)
        request = provider_pb2.CreateRequest(urn=_urn(token, name), properties=wire.encode(checked))
        response = self._provider.Create(request, RefusingContext())
        deployed = Deployed(token, name, response.id, checked, wire.decode(response.properties))
        _assert_declared(deployed)
        return deployed

    def diff(self, deployed: Deployed, inputs: Props, *, check: bool = True) -> Difference:
        """Returns what the next deployment with these inputs would change."""
        checked = self._checked(deployed.token, deployed.name, inputs, deployed.inputs) if check else inputs
        response = self._provider.Diff(
            provider_pb2.DiffRequest(
                urn=deployed.urn,
                id=deployed.id,
                olds=wire.encode(deployed.state),
                old_inputs=wire.encode(deployed.inputs),
                news=wire.encode(checked),
            ),
            RefusingContext(),
        )
        return Difference(list(response.diffs), list(response.replaces), response.deleteBeforeReplace)

    def update(self, deployed: Deployed, inputs: Props) -> Deployed:
        """Checks and updates in place; fails where the engine would replace instead."""
        checked = self._checked(deployed.token, deployed.name, inputs, deployed.inputs)
        difference = self.diff(deployed, checked, check=False)
        assert not difference.replaces, f"{deployed.token}: {difference.replaces} replace the resource"
        response = self._provider.Update(
            provider_pb2.UpdateRequest(
                urn=deployed.urn,
                id=deployed.id,
                olds=wire.encode(deployed.state),
                old_inputs=wire.encode(deployed.inputs),
                news=wire.encode(checked),
            ),
            RefusingContext(),
        )
        updated = replace(deployed, inputs=checked, state=wire.decode(response.properties))
        _assert_declared(updated)
        return updated

    def refresh(self, deployed: Deployed) -> Deployed | None:
        """Returns the resource as AWS has it, None if it is gone."""
        response = self._provider.Read(
            provider_pb2.ReadRequest(
                urn=deployed.urn,
                id=deployed.id,
                properties=wire.encode(deployed.state),
                inputs=wire.encode(deployed.inputs),
            ),
            RefusingContext(),
        )
        if not response.id:
            return None
        refreshed = replace(deployed, inputs=wire.decode(response.inputs), state=wire.decode(response.properties))
        _assert_declared(refreshed)
        return refreshed

    def drift(self, deployed: Deployed) -> list[str]:
        """Refreshes, and returns what the next deployment of the same program would change back."""
        refreshed = self.refresh(deployed)
        assert refreshed is not None, f"{deployed.token} {deployed.id} is gone"
        return self.diff(refreshed, deployed.inputs, check=False).changed

    def delete(self, deployed: Deployed) -> None:
        """Deletes the resource."""
        self._provider.Delete(
            provider_pb2.DeleteRequest(urn=deployed.urn, id=deployed.id, properties=wire.encode(deployed.state)),
            RefusingContext(),
        )

    def invoke(self, token: str, arguments: Props) -> Props:
        """Calls a function; fails on a refused argument."""
        response = self._provider.Invoke(
            provider_pb2.InvokeRequest(tok=token, args=wire.encode(arguments)), RefusingContext()
        )
        assert not response.failures, list(response.failures)
        return wire.decode(getattr(response, "return"))

    def lifecycle(self, token: str, inputs: Props, changed: Props | None = None) -> Deployed:
        """Creates a resource, checks that a refresh finds no drift, updates it to `changed` and checks again.

        Deleting it, twice, is left to the caller, as other resources may hang on it.
        """
        deployed = self.create(token, "subject", inputs)
        self._assert_no_drift(deployed)
        if changed is not None:
            assert self.diff(deployed, changed).changed, "the change is no change"
            deployed = self.update(deployed, changed)
            self._assert_no_drift(deployed)
        return deployed

    def assert_deletes(self, deployed: Deployed) -> None:
        """Deletes the resource, finds it gone, and deletes it again without an error."""
        self.delete(deployed)
        assert self.refresh(deployed) is None, f"{deployed.token} {deployed.id} is still there"
        self.delete(deployed)

    def _assert_no_drift(self, deployed: Deployed) -> None:
        drifted = self.drift(deployed)
        assert not drifted, f"{deployed.token}: a refresh finds {drifted} changed, nobody changed anything"

    def _checked(self, token: str, name: str, inputs: Props, old: Props | None) -> Props:
        checked, failures = self.check(token, name, inputs, old)
        assert not failures, failures
        return checked


def _assert_declared(deployed: Deployed) -> None:
    """An output that the real type does not have would work here and be empty on AWS."""
    undeclared = set(deployed.state) - set(schema.resource_outputs(deployed.token)) - {"id"}
    assert not undeclared, f"{deployed.token} has no outputs {sorted(undeclared)}"


def _urn(token: str, name: str) -> str:
    return f"urn:pulumi:test::test::{token}::{name}"
