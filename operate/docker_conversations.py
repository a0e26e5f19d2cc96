"""Kept conversations on a Docker host: a volume each."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import docker
from docker.errors import APIError, NotFound

from components.models.tags import RUN, Role, RunTag, Tag, label
from operate.docker_collect import OVER
from operate.engine import asking_engine
from operate.failures import usage
from operate.orders import check_conversation
from operate.outputs import DockerEnvironment
from operate.runs import Kept

PREFIX = "agentenv-state-"


@dataclass(frozen=True)
class Conversations:
    """The conversations of one stack.

    Attributes:
        client: The engine.
        stack: Value of the label of the stack.
    """

    client: docker.DockerClient
    stack: str

    def begin(self, session: str, environment: DockerEnvironment) -> str:
        """Make room for the state of a new conversation.

        Returns:
            Its id.
        """
        conversation = f"c{secrets.token_hex(7)}"
        labels = {
            **{key: value for key, value in environment.labels.items() if key != label(Tag.ROLE)},
            label(Tag.SESSION): session,
            label(RunTag.CONVERSATION): conversation,
        }
        with asking_engine(f"conversation {conversation}"):
            self.client.volumes.create(volume(conversation), labels=labels)
        return conversation

    def find(self, conversation: str) -> Kept | None:
        """The conversation of this id; None when nothing is kept of it."""
        with asking_engine(f"conversation {conversation}"):
            try:
                found = self.client.volumes.get(volume(conversation))
            except NotFound:
                return None
            kept = _kept(found.attrs)
        return kept if (found.attrs.get("Labels") or {}).get(label(Tag.STACK)) == self.stack else None

    def all(self) -> list[Kept]:
        """Every conversation of the stack."""
        filters = {"label": [label(RunTag.CONVERSATION), f"{label(Tag.STACK)}={self.stack}"]}
        with asking_engine("listing conversations"):
            return [_kept(one.attrs) for one in self.client.volumes.list(filters=filters)]

    def holder(self, conversation: str, besides: str | None = None) -> str | None:
        """Id of the run that goes on with a conversation at this moment.

        Args:
            conversation: Its id.
            besides: A run that does not count.
        """
        session = f"{label(Tag.ROLE)}={Role.SESSION}"
        filters: Any = {"label": [RUN, f"{label(RunTag.CONVERSATION)}={conversation}", session]}
        with asking_engine(f"conversation {conversation}"):
            containers = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        runs = [one.labels[RUN] for one in containers if one.status not in OVER]
        return next((run for run in runs if run != besides), None)

    def check_free(self, conversation: str, besides: str | None = None) -> None:
        """Refuse a second run of a conversation.

        Raises:
            Failure: a run goes on with it.
        """
        holder = self.holder(conversation, besides)
        if holder is not None:
            raise usage(
                f"Run {holder} goes on with conversation {conversation} at this moment, and two would overwrite each "
                f"other. Fix: wait for it (agentenv logs {holder} --follow), or agentenv stop {holder}."
            )

    def forget(self, conversation: str) -> None:
        """Remove what is kept of a conversation.

        Raises:
            Failure: there is no such conversation, or a run goes on with it.
        """
        if self.find(check_conversation(conversation)) is None:
            raise usage(f"There is no conversation {conversation!r}. Fix: agentenv list --json shows them.")
        self.check_free(conversation)
        with asking_engine(f"conversation {conversation}"):
            try:
                self.client.volumes.get(volume(conversation)).remove()
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:
                    raise
                # The container of a run that has ended has it until somebody collects that run.
                raise usage(
                    f"Conversation {conversation} is still in use ({error.explanation}). "
                    "Fix: run agentenv list, which collects runs that have ended, and try again."
                ) from None


def volume(conversation: str) -> str:
    """Name of the volume of a conversation."""
    return PREFIX + conversation


def _kept(attributes: dict[str, Any]) -> Kept:
    labels = attributes.get("Labels") or {}
    try:
        created = datetime.fromisoformat(attributes["CreatedAt"]).astimezone(UTC)
    except (KeyError, ValueError):
        created = None
    return Kept(
        id=labels.get(label(RunTag.CONVERSATION), ""),
        session=labels.get(label(Tag.SESSION), ""),
        environment=labels.get(label(Tag.ENVIRONMENT), ""),
        created=created,
    )
