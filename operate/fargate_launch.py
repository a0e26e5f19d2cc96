"""One run on Fargate: what it is told, and its start."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.models.tags import RunTag, agent_tags
from components.plans.saved import task_key
from components.plans.task import CONTAINER, OVERRIDE_LIMIT
from operate.evidence import Progress
from operate.failures import tell, usage
from operate.fargate_client import asking_aws
from operate.fargate_state import Bucket, Place
from operate.fargate_tasks import Fargate
from operate.orders import Asked, encoded, task_document
from operate.outputs import FargateEnvironment, FargateSession
from operate.runs import Order
from operate.tokens import new_token, token_hash

MOST_BYTES = 16 * 1024 * 1024
"""Of a task document in the bucket: what the runner reads of it."""
PRIVATE = "AGENTENV_"
"""What the project's own variables begin with."""
Note = Callable[[str], None]
"""Told what the user should know, and cannot be told in the result."""


def asked_of(session: FargateSession) -> Asked:
    """What of a session decides which orders it takes."""
    declaration = json.loads(session.variables["AGENTENV_SESSION"])
    own = {name for name in session.variables if not name.startswith(PRIVATE)}
    return Asked.told(declaration, own_command=session.own_command, variables=frozenset(own | set(session.held)))


@dataclass(frozen=True)
class Launch:
    """Starts runs of one session.

    Attributes:
        fargate: Tasks of its environment.
        session: From the stack's outputs.
        bucket: Of the stack.
        note: Told what the user should know.
    """

    fargate: Fargate
    session: FargateSession
    bucket: Bucket
    note: Note = tell

    def run(self, order: Order, place: Place | None, progress: Progress, *, kept: bool) -> dict[str, Any]:
        """Start a run.

        Args:
            order: Checked; with the id of its conversation, where it has one.
            place: Of its conversation.
            progress: Told what it waits for.
            kept: Whether there is state to load.

        Returns:
            The task.
        """
        # ECS names the task only in its answer, so the run has a name of its own until then.
        token = secrets.token_hex(16)
        state = self._state(place, kept=kept) if place is not None else None
        asked = asked_of(self.session)
        tokens = {name: new_token() for name in (asked.agents if asked.supervised else ())}
        document = encoded(task_document(order, token, tokens, state=state), MOST_BYTES)
        environment = self.fargate.environment
        tags = {RunTag.RUN.value: token, RunTag.POLICY.value: environment.policy_hash}
        if image := image_of(self.session, environment):
            tags[RunTag.IMAGE.value] = image
        tags |= agent_tags({name: token_hash(own) for name, own in tokens.items()})
        if order.conversation is not None:
            tags[RunTag.CONVERSATION.value] = order.conversation
        overrides = self._overrides(order, token, document)
        return self.fargate.start(order.session, self.session, overrides, progress=progress, token=token, tags=tags)

    def _state(self, place: Place, *, kept: bool) -> Mapping[str, str | None]:
        with asking_aws():
            temporary = self.bucket.clients.temporary()
        if temporary:
            self.note(
                "the credentials of this shell are temporary, and the run can save its state only until they end. "
                "Start long runs with credentials that last: seven days are the most that AWS signs for."
            )
        return self.bucket.addresses(place, kept=kept)

    def _overrides(self, order: Order, token: str, document: str) -> dict[str, Any]:
        """What `RunTask` is told; a document that is too long for it goes to the bucket."""
        given = {**self.session.variables, **order.env, "AGENTENV_RUN": token}
        found = self._with(given | {"AGENTENV_TASK": document})
        if len(json.dumps(found)) <= OVERRIDE_LIMIT:
            return found
        check_bucket(self.bucket)
        # Apart from the run's token, which its tag tells.
        key = task_key(self.session.environment, secrets.token_hex(16))
        found = self._with(given | {"AGENTENV_TASK_URL": self.bucket.task_address(key)})
        length = len(json.dumps(found))
        if length > OVERRIDE_LIMIT:
            raise usage(
                f"The settings of the run have {length:,} characters, and ECS takes {OVERRIDE_LIMIT:,}. "
                "Fix: shorten --env, the session's variables or agent.system."
            )
        # Last: what is refused leaves nothing in the bucket.
        self.bucket.give(key, document)
        return found

    def _with(self, variables: Mapping[str, str]) -> dict[str, Any]:
        pairs = [{"name": name, "value": value} for name, value in sorted(variables.items())]
        container = {**self.session.container, "name": CONTAINER, "environment": pairs}
        return {**self.session.overrides, "containerOverrides": [container]}


def check_bucket(bucket: Bucket) -> None:
    """Refuse what needs the bucket of a stack that has none yet.

    Raises:
        Failure: it has none.
    """
    if not bucket.name:
        raise usage("This stack has no bucket for state and long tasks yet. Fix: run pulumi up with this version.")


def image_of(session: FargateSession, environment: FargateEnvironment) -> str | None:
    """Digest of the image that a run of a session gets; None where the outputs do not tell which one of several."""
    known = {*environment.images.values()}
    reference = session.image or (known.pop() if len(known) == 1 else "")
    return reference.partition("@")[2] or None
