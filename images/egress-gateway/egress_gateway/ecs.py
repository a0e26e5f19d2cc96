"""Sessions that are ECS tasks: who speaks from an address is what the tags of the task that has it say."""

import asyncio
import base64
import binascii
import ipaddress
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from egress_gateway.aws import client
from egress_gateway.credentials import Agent, parse_agents
from egress_gateway.policy import Identity

LOOKUP_SECONDS = 1.0
REFRESH_SECONDS = 5.0
GRACE_SECONDS = 30.0
ENVIRONMENT_TAG, SESSION_TAG = "agentenv:environment", "agentenv:session"
AGENTS_TAG = "agentenv:agents:"
"""What the keys of tags begin with that hold `NAME=HASH` of each agent, a space between: SHA-256 in base64url."""
_DESCRIBED_AT_ONCE = 100
_NOT_IN_TAGS = re.compile(r"[^\w .:/=+@-]")
_LONGEST_TAG = 256
_ADDRESS = "privateIPv4Address"


class EcsTasks:
    """The tasks of a cluster that are sessions of one environment.

    Args:
        cluster: Name or ARN.
        environment: Gives the environment's name, None while there is no policy.
        ecs: Client of ECS; None for one with the gateway's own role.
    """

    def __init__(self, cluster: str, environment: Callable[[], str | None], ecs: Any = None) -> None:
        self._cluster, self._environment, self._ecs = cluster, environment, ecs
        self._sessions: dict[str, Identity] = {}
        self._looked = self._answered = float("-inf")
        self._looking = asyncio.Lock()

    def known(self, source: str) -> Identity | None:
        """The session at an address, as of the last look."""
        return self._sessions.get(source)

    async def session_at(self, source: str) -> Identity | None:
        """The session at an address; looked up if it is not known, all that ask at a time by one look."""
        asked = time.monotonic()
        if source not in self._sessions:
            async with self._looking:
                if self._looked < asked:
                    await asyncio.sleep(self._looked + LOOKUP_SECONDS - asked)
                    await self._look()
        return self._sessions.get(source)

    async def refresh(self, gone: Callable[[], None]) -> None:
        """Look every few seconds, until cancelled, and say when a task that was known is gone.

        Args:
            gone: Called after a look that some address did not survive.
        """
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            before = self._sessions
            if before:
                async with self._looking:
                    await self._look()
                if any(self._sessions.get(source) != session for source, session in before.items()):
                    gone()

    async def _look(self) -> None:
        self._looked = time.monotonic()
        environment = self._environment()
        found = await asyncio.to_thread(self._read, environment) if environment is not None else {}
        if found is not None:
            self._sessions, self._answered = found, time.monotonic()
        elif time.monotonic() - self._answered > GRACE_SECONDS:
            # An address is given to another task in time, and nobody says so any more.
            self._sessions = {}

    def _read(self, environment: str) -> dict[str, Identity] | None:
        """Session by address; None if ECS does not answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._ecs = self._ecs or client("ecs")
            tasks = [*self._tasks()]
        except (BotoCoreError, ClientError):
            return None
        found: dict[str, Identity] = {}
        # Names of environments hold what a tag cannot; it is written there as AWS takes it.
        tagged = _NOT_IN_TAGS.sub("_", environment)[:_LONGEST_TAG]
        for task in tasks:
            tags = {tag["key"]: tag.get("value", "") for tag in task.get("tags", ())}
            if tags.get(ENVIRONMENT_TAG) == tagged and tags.get(SESSION_TAG) and task["lastStatus"] != "STOPPED":
                # Whose agents cannot be told is nobody.
                with suppress(ValueError):
                    agents = agents_of(tags)
                    for address in _addresses(task):
                        found[address] = Identity(tags[SESSION_TAG], ipaddress.ip_network(address), agents=agents)
        return found

    def _tasks(self) -> Iterator[Mapping[str, Any]]:
        pages = self._ecs.get_paginator("list_tasks").paginate(cluster=self._cluster)
        arns = (arn for page in pages for arn in page["taskArns"])
        while some := [*islice(arns, _DESCRIBED_AT_ONCE)]:
            yield from self._ecs.describe_tasks(cluster=self._cluster, tasks=some, include=["TAGS"])["tasks"]


def agents_of(tags: Mapping[str, str]) -> tuple[Agent, ...]:
    """The agents that share a task, by its tags; none where each asks for the session.

    Raises:
        ValueError: a tag holds something else.
    """
    found: dict[str, object] = {}
    for key, value in tags.items():
        for pair in value.split() if key.startswith(AGENTS_TAG) else ():
            name, _, digest = pair.partition("=")
            try:
                found[name] = base64.urlsafe_b64decode(digest + "=").hex()
            except binascii.Error:
                raise ValueError(f"{key}: is no SHA-256 in base64url") from None
    return parse_agents(found)


def _addresses(task: Mapping[str, Any]) -> Iterator[str]:
    for attachment in task.get("attachments", ()):
        for detail in attachment.get("details", ()):
            if detail.get("name") == _ADDRESS and detail.get("value"):
                yield detail["value"]
