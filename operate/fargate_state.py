"""What runs on Fargate keep and are given in the stack's bucket: saved state, and task documents that are too long.

A session has no credentials: it reaches one object at a time, by an address that is signed for that object.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.plans.saved import state_key, state_prefix
from operate.failures import usage
from operate.fargate_client import Clients, asking_aws

STATE_SECONDS = 7 * 24 * 3600
"""How long state can be saved: the most that AWS signs an address for."""
TASK_SECONDS = 24 * 3600
"""How long a task document can be read: it goes after a day."""
_FILE = "state.tar"


@dataclass(frozen=True)
class Place:
    """Where the state of one conversation is.

    Attributes:
        environment: Name of the environment.
        session: Name of the session.
        conversation: Id of the conversation.
    """

    environment: str
    session: str
    conversation: str

    @property
    def key(self) -> str:
        """Key of its object."""
        return state_key(self.environment, self.session, self.conversation)


@dataclass(frozen=True)
class Bucket:
    """The bucket of one stack.

    Attributes:
        clients: AWS.
        name: Of the bucket.
    """

    clients: Clients
    name: str

    def task_address(self, key: str) -> str:
        """Address that a run reads the task document with this key at."""
        with asking_aws():
            return self._signed("get_object", key, TASK_SECONDS)

    def give(self, key: str, document: str) -> None:
        """Put a task document where its run finds it.

        Args:
            key: See `components.plans.saved.task_key`.
            document: As JSON.
        """
        with asking_aws():
            self.clients.s3.put_object(
                Bucket=self.name, Key=key, Body=document.encode(), ContentType="application/json"
            )

    def addresses(self, place: Place, *, kept: bool) -> dict[str, str | None]:
        """Addresses that a run loads and saves its state at.

        Args:
            place: Of the conversation.
            kept: Whether there is anything to load.
        """
        with asking_aws():
            return {
                "load": self._signed("get_object", place.key, STATE_SECONDS) if kept else None,
                "save": self._signed("put_object", place.key, STATE_SECONDS),
            }

    def has(self, place: Place) -> bool:
        """Whether state is kept there."""
        # A list rather than a look at the object: who may list just this prefix is told of what is not there.
        with asking_aws():
            found = self.clients.s3.list_objects_v2(Bucket=self.name, Prefix=place.key, MaxKeys=1)
        return any(one["Key"] == place.key for one in found.get("Contents", ()))

    def kept(self, environment: str) -> Iterator[Place]:
        """The conversations that an environment's sessions have kept."""
        prefix = state_prefix(environment)
        for page in self._pages("list_objects_v2", prefix):
            for one in page.get("Contents", ()):
                parts = one["Key"].removeprefix(prefix).split("/")
                if len(parts) == 3 and parts[2] == _FILE:
                    yield Place(environment, parts[0], parts[1])

    def forget(self, place: Place) -> None:
        """Remove the state of a conversation, with all its versions."""
        found: list[dict[str, str]] = []
        for page in self._pages("list_object_versions", place.key):
            versions = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            found += ({"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions if one["Key"] == place.key)
        for start in range(0, len(found), 1000):
            some = {"Objects": found[start : start + 1000], "Quiet": True}
            with asking_aws():
                answer = self.clients.s3.delete_objects(Bucket=self.name, Delete=some)
            for error in answer.get("Errors", ()):
                raise usage(f"AWS refused to remove {place.conversation}: {error.get('Code')}: {error.get('Message')}")

    def _pages(self, operation: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        with asking_aws():
            yield from self.clients.s3.get_paginator(operation).paginate(Bucket=self.name, Prefix=prefix)

    def _signed(self, operation: str, key: str, seconds: int) -> str:
        return str(
            self.clients.s3.generate_presigned_url(
                operation, Params={"Bucket": self.name, "Key": key}, ExpiresIn=seconds
            )
        )
