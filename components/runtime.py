"""The small interface between what is declared and where it runs. One class per runtime implements it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import pulumi

from components.models.environment import DeclaredEnvironment
from components.models.errors import InvalidInput, Problem
from components.models.session import Session
from components.models.stack import PrivateRange, Stack


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
        private_hosts: Allowed hosts that lie in a private range, see `Stack.private_hosts`.
        shared_usd_per_hour: List price of what environments share, by part, while nothing runs; traffic comes on top.
    """

    kind: ClassVar[str]
    private_hosts: Mapping[str, PrivateRange]
    shared_usd_per_hour: Mapping[str, float]

    @classmethod
    @abstractmethod
    def misfits(cls, environment: DeclaredEnvironment, session: Session) -> Iterator[Problem]:
        """What keeps `session` of `environment` from running on this runtime; paths are the session's fields."""

    @classmethod
    def check(cls, environment: DeclaredEnvironment, sessions: Sequence[Session]) -> None:
        """Refuse, before anything is created, what this runtime cannot run.

        Raises:
            InvalidInput: naming the fields; sessions are counted as given.
        """
        cls._refuse((index, environment, session) for index, session in enumerate(sessions))

    @classmethod
    def check_stack(cls, stack: Stack) -> None:
        """Refuse, before anything is created, what this runtime cannot run of a whole stack file.

        Raises:
            InvalidInput: naming the fields; sessions are counted as in the file.
        """
        environments = {environment.name: environment for environment in stack.environments}
        cls._refuse((index, environments[session.environment], session) for index, session in enumerate(stack.sessions))

    @classmethod
    def _refuse(cls, placed: Iterable[tuple[int, DeclaredEnvironment, Session]]) -> None:
        problems = [
            replace(problem, path=f"sessions[{index}].{problem.path}")
            for index, environment, session in placed
            for problem in cls.misfits(environment, session)
        ]
        if problems:
            raise InvalidInput(problems)

    @abstractmethod
    def place_environment(
        self, parent: pulumi.Resource, name: str, environment: DeclaredEnvironment, sessions: Sequence[Session]
    ) -> PlacedEnvironment:
        """Build the image, raise the fence, make the roles and definitions of `environment`."""
