"""The `Session` component: one session that needs something of its own, a service or a schedule."""

from collections.abc import Mapping
from typing import Any, TypedDict

import pulumi

from components.environment import Environment
from components.inputs import checked
from components.models.errors import validate
from components.models.session import Session as SessionModel


class SessionArgs(TypedDict):
    """Arguments of :class:`Session`; all plain values, since they shape the graph."""

    environment: Environment
    """The environment it runs in; the session must be among the ones that the environment was declared with."""
    session: Mapping[str, Any] | SessionModel
    """The session, as in a stack file."""


class Session(pulumi.ComponentResource):
    """A session that stays up (a service) or starts by itself (a schedule).

    A session that is only ever started by hand needs no component: declare it with its Environment.

    Attributes:
        details: What the runtime made: service or schedule; on a Docker host also the volume with the conversations of
            a service that ends after a time without work, which outlives the session and the stack.
    """

    details: pulumi.Output[Mapping[str, Any]]

    def __init__(self, name: str, args: SessionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        with checked():
            session = validate(SessionModel, args["session"])
        placed = args["environment"].placed
        props = {"environment": session.environment, "session": session.to_wire()}
        super().__init__("agent-environments:index:Session", name, props, opts)
        self.details = pulumi.Output.from_input(placed.place_session(self, name, session))
        self.register_outputs({"details": self.details})
