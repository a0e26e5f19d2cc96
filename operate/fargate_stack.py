"""A stack on Fargate: what its outputs name, as what can be asked."""

from dataclasses import dataclass

from components.models.tags import tag_value
from operate.failures import usage
from operate.fargate_client import Clients
from operate.fargate_services import Service
from operate.fargate_state import Bucket
from operate.fargate_tasks import Cluster, Fargate
from operate.outputs import FargateEnvironment, FargateSession, Outputs


@dataclass(frozen=True)
class Stack:
    """One stack.

    Attributes:
        outputs: What it says of itself.
        clients: AWS.
    """

    outputs: Outputs
    clients: Clients

    @property
    def environments(self) -> dict[str, FargateEnvironment]:
        """Its environments by their names."""
        return {name: one for name, one in self.outputs.environments.items() if isinstance(one, FargateEnvironment)}

    @property
    def sessions(self) -> dict[str, FargateSession]:
        """Its sessions by their names."""
        return {name: one for name, one in self.outputs.sessions.items() if isinstance(one, FargateSession)}

    @property
    def clusters(self) -> list[Cluster]:
        """Where its tasks run: one, as the stack program has it."""
        return [Cluster(self.clients, name) for name in sorted({one.cluster for one in self.environments.values()})]

    def session(self, name: str) -> tuple[FargateSession, Fargate]:
        """A session, and the tasks of its environment.

        Raises:
            Failure: there is none of this name, or it is on another runtime.
        """
        session = self.outputs.session(name)
        if not isinstance(session, FargateSession):
            raise usage(f"Session {name!r} is not on Fargate. Fix: run pulumi up.")
        return session, self.environment(session.environment)

    def environment(self, name: str) -> Fargate:
        """The tasks of an environment.

        Raises:
            Failure: there is none of this name, or it is on another runtime.
        """
        found = self.outputs.environment(name)
        if not isinstance(found, FargateEnvironment):
            raise usage(f"Environment {name!r} is not on Fargate. Fix: run pulumi up.")
        return Fargate(self.clients, found)

    def families(self, environment: str) -> list[str]:
        """Families of the task definitions of an environment's sessions."""
        return sorted({one.family for one in self.sessions.values() if one.environment == environment})

    def environment_tagged(self, value: str) -> str:
        """Name of the environment with this value of the tag; the value itself, where the stack has none any more."""
        return next((name for name in self.environments if tag_value(name) == value), value)

    def bucket(self, environment: str) -> Bucket:
        """The bucket that runs of an environment use; its name is empty where nothing was deployed of it yet."""
        return Bucket(self.clients, self.environment(environment).environment.state_bucket)

    def service(self, name: str) -> Service | None:
        """The service of the session of this name; None when that is none."""
        session = self.sessions.get(name)
        if session is None or session.service is None:
            return None
        fargate = self.environment(session.environment)
        return Service(fargate.cluster, name, session.service, session.environment, fargate.environment.policy_hash)

    def services(self, environment: str) -> list[Service]:
        """The services of an environment."""
        names = [name for name, one in self.sessions.items() if one.environment == environment]
        return [service for name in names if (service := self.service(name)) is not None]
