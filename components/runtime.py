"""The small interface between what is declared and where it runs. One class per runtime implements it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import pulumi

from components.models.environment import DeclaredEnvironment
from components.models.session import Session


class PlacedEnvironment(Protocol):
    """An environment on a runtime, ready to take sessions."""

    outputs: Mapping[str, Any]

    def catalogue(self) -> Mapping[str, Any]:
        """Session name -> how a run of it is started, for the sessions that the environment was declared with."""

    def place_session(self, parent: pulumi.Resource, name: str, session: Session) -> Mapping[str, Any]:
        """Make what `session` needs of its own (a service, a schedule) and say how to use it."""


class Runtime(pulumi.ComponentResource, ABC):
    """A place where sessions run, with all that its environments share.

    Attributes:
        kind: What the stack file calls it.
        shared_usd_per_hour: List price of what environments share, by part, while nothing runs; traffic comes on top.
    """

    kind: ClassVar[str]
    shared_usd_per_hour: Mapping[str, float]

    @classmethod
    @abstractmethod
    def check(cls, sessions: Sequence[Session]) -> None:
        """Refuse, before anything is created, what this runtime cannot run.

        Raises:
            InvalidInput: naming the field.
        """

    @abstractmethod
    def place_environment(
        self, parent: pulumi.Resource, name: str, environment: DeclaredEnvironment, sessions: Sequence[Session]
    ) -> PlacedEnvironment:
        """Build the image, raise the fence, make the roles and definitions of `environment`."""
