"""The tag vocabulary: one enum for keys, one for each key with a closed set of values.

Cost reports, the policy pack and `agentenv` find things by these tags, so a key never changes its meaning.
"""

import base64
import re
from collections.abc import Mapping
from enum import StrEnum


class Tag(StrEnum):
    """Tag keys on every AWS resource (and, as labels, on every Docker object) of a stack."""

    STACK = "agentenv:stack"
    """Pulumi stack name: tells two deployments of one team apart."""
    TEAM = "agentenv:team"
    """Owning team, from the stack file: who is asked when something misbehaves."""
    COST_CENTRE = "agentenv:cost-centre"
    """Who pays; defaults to the team."""
    ENVIRONMENT = "agentenv:environment"
    """Name of the Environment. Absent on what environments share."""
    SESSION = "agentenv:session"
    """Name of the declared Session: on its service, its schedule and each of its runs."""
    ROLE = "agentenv:role"
    """What the object is in the fence, see :class:`Role`. The policy pack decides by it."""
    NETWORKING = "agentenv:networking"
    """`limited` or `unrestricted`. What carries no such tag is judged as limited."""


class RunTag(StrEnum):
    """Tag keys (and, as labels, label keys) of a run, which is no resource of a stack."""

    RUN = "agentenv:run"
    """What a start made, and what is removed with it."""
    CONVERSATION = "agentenv:conversation"
    """The kept conversation that a hybrid run goes on with."""
    IMAGE = "agentenv:image"
    """Digest of the session image."""
    POLICY = "agentenv:policy"
    """Hash of the egress policy that was in force at the start."""
    AGENTS = "agentenv:agents"
    """Several agents that share a task: the keys go on with `:0`, `:1`, ..., see :func:`agent_tags`."""


def label(tag: Tag | RunTag) -> str:
    """`tag` as a Docker label key: the engine asks for dots where AWS has a colon."""
    return tag.replace(":", ".")


RUN = label(RunTag.RUN)
"""Label of a run on a Docker host."""


REQUIRED_TAGS: tuple[Tag, ...] = (Tag.STACK, Tag.TEAM, Tag.COST_CENTRE)
"""Tags without which nothing taggable may exist."""


class Role(StrEnum):
    """Values of :attr:`Tag.ROLE`. An object without the tag is judged as a session."""

    SESSION = "session"
    """Runs the agent: trusted with nothing."""
    GATEWAY = "gateway"
    """The egress gateway: the one way out of a limited environment."""
    FENCE = "fence"
    """Owns a network namespace on a Docker host and sets its rules, before anything joins it."""
    ENDPOINT = "endpoint"
    """Interface endpoints of the session VPC (image pull, logs)."""
    SHARED = "shared"
    """Network, cluster, registry, key: belongs to no one environment."""


MAX_VALUE = 256


def agent_tags(hashes: Mapping[str, str]) -> dict[str, str]:
    """Tags that tell a gateway on Fargate the agents of a task apart: `NAME=HASH` of each, as many as a tag holds.

    Args:
        hashes: Agent -> SHA-256 of its token, in hexadecimal. In the tags it is base64url, which is shorter: a task has
            no more than 50 tags.
    """
    values: list[str] = []
    for name, digest in hashes.items():
        pair = f"{name}={base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip('=')}"
        if values and len(values[-1]) + 1 + len(pair) <= MAX_VALUE:
            values[-1] += f" {pair}"
        else:
            values.append(pair)
    return {f"{RunTag.AGENTS}:{number}": value for number, value in enumerate(values)}


def tag_value(text: str) -> str:
    """`text` as AWS takes it in a tag: other characters become `_`, the rest is cut at 256."""
    return re.sub(r"[^\w .:/=+@-]", "_", text)[:MAX_VALUE]
