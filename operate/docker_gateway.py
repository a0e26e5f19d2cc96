"""An environment's gateway on a Docker host: what it enforces, and whom it lets in."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import docker
from docker.errors import NotFound

from operate.engine import asking_engine, connect, run_in
from operate.explain import PACKAGE_MANAGERS, InForce, Registry
from operate.failures import Failure, unreachable
from operate.outputs import DockerEnvironment

PROGRAM = ["python3", "-m", "egress_gateway"]


class Gateway:
    """The running gateway of an environment."""

    def __init__(self, client: docker.DockerClient, environment: DockerEnvironment) -> None:
        self._client, self._name = client, environment.gateway.container

    def in_force(self) -> InForce:
        """What it enforces; where it has no policy, the rule that stands in its place instead of a hash.

        Raises:
            Failure: it does not run, or says something else.
        """
        with self._policy() as told:
            if not told["in_force"]:
                return InForce((), str(told["rule"]), f"gateway {self._name} lets nothing out: {told['rule']}")
            hosts = [entry for entry in told["policy"]["hosts"] if entry["field"] == PACKAGE_MANAGERS]
            registries = tuple(Registry(entry["host"], entry["port"]) for entry in hosts)
            return InForce(registries, str(told["policy_hash"]), f"told by gateway {self._name}")

    def sources(self) -> tuple[IPv4Network, ...]:
        """Where sessions that it knows are; one that is gone knows none.

        Raises:
            Failure: it does not run, or says something else.
        """
        if self._is_gone():
            return ()
        with self._policy() as told:
            return tuple(IPv4Network(one["source"]) for one in told["identities"])

    @contextmanager
    def _policy(self) -> Iterator[dict[str, Any]]:
        text = self._told("policy")
        try:
            yield json.loads(text)
        except (ValueError, KeyError, TypeError) as error:
            raise unreachable(
                f"gateway {self._name} gives no policy that this agentenv reads ({type(error).__name__}: {error}). "
                "Fix: run pulumi up with this version."
            ) from None

    def admit(self, session: str, source: IPv4Address, agents: Mapping[str, str] | None = None) -> None:
        """Let a session in from an address; returns once that is in force.

        Args:
            session: Its name.
            source: The address.
            agents: Agent -> SHA-256 of its token, where each is to say who it is.

        Raises:
            Failure: the gateway refused.
        """
        options = [f"--agent={name}={digest}" for name, digest in (agents or {}).items()]
        self._told("admit", "--session", session, "--source", f"{source}/32", *options)

    def dismiss(self, source: IPv4Address) -> None:
        """Forget an address; a gateway that is gone knows none.

        Raises:
            Failure: the gateway refused.
        """
        if not self._is_gone():
            self._told("dismiss", "--source", f"{source}/32")

    def _is_gone(self) -> bool:
        with asking_engine(f"gateway {self._name}"):
            try:
                self._client.containers.get(self._name)
            except NotFound:
                return True
        return False

    def _told(self, *arguments: str) -> str:
        with asking_engine(f"gateway {self._name}"):
            container = self._client.containers.get(self._name)
            code, out, err = run_in(container, [*PROGRAM, *arguments])
        if code != 0:
            reason = (err or out).strip().rpartition("\n")[2] or f"exit code {code}"
            raise unreachable(f"gateway {self._name} refused {arguments[0]}: {reason}")
        return out


def ask(environment: DockerEnvironment) -> InForce:
    """What the gateway enforces; where nobody can be asked, that and why."""
    try:
        return Gateway(connect(), environment).in_force()
    except Failure as failure:
        return InForce(None, None, f"from the stack's outputs alone: {failure}")
