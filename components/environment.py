"""The `Environment` component: one declared environment with its sessions, on a runtime."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from components.inputs import checked
from components.models.environment import DeclaredEnvironment
from components.models.errors import InvalidInput, validate
from components.models.session import Session as SessionModel
from components.models.stack import misfits
from components.plans.egress import egress_policy
from components.runtime import Runtime


class EnvironmentArgs(TypedDict):
    """Arguments of :class:`Environment`; all plain values, since they shape the graph."""

    runtime: Runtime
    """Where it runs, e.g. `components.fargate.Fargate`."""
    environment: Mapping[str, Any] | DeclaredEnvironment
    """The wire format, as in a stack file."""
    sessions: NotRequired[Sequence[Mapping[str, Any] | SessionModel]]
    """Declared sessions. One that needs nothing of its own becomes an entry of `catalogue`: data, not a resource."""


class Environment(pulumi.ComponentResource):
    """An agent environment: image, fence, roles, log group, gateway, and a catalogue of its sessions.

    Attributes:
        details: What the runtime made: image, egress policy, gateway; on Fargate also security group, log group, and
            the bucket by which state and long task documents come and go.
        catalogue: Session name -> task definition, overrides, how to start it, estimated dollars an hour.

    Raises:
        pulumi.InputPropertiesError: the declaration breaks a rule; nothing has been registered.
    """

    details: pulumi.Output[Mapping[str, Any]]
    catalogue: pulumi.Output[Mapping[str, Any]]

    def __init__(self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        runtime = args["runtime"]
        with checked():
            environment = validate(DeclaredEnvironment, args["environment"])
            sessions = [validate(SessionModel, session) for session in args.get("sessions", ())]
            problems = [problem for session in sessions for problem in misfits(session, environment)]
            if problems:
                raise InvalidInput(problems)
            runtime.check(environment, sessions)
        # The policy pack judges sessions by these properties: whole, as declared, and known at preview.
        declared = {
            "runtime": runtime.kind,
            "environment": environment.to_wire(),
            "sessions": [session.to_wire() for session in sessions],
            "egressPolicy": egress_policy(environment, sessions, runtime.private_hosts).to_json(),
        }
        super().__init__("agent-environments:index:Environment", name, declared, opts)
        self.placed = runtime.place_environment(self, name, environment, sessions)
        self.details = pulumi.Output.from_input(self.placed.outputs)
        self.catalogue = pulumi.Output.from_input(self.placed.catalogue())
        # The stack exports the catalogue; a second copy would double what each session takes of the state.
        self.register_outputs({"details": self.details})
