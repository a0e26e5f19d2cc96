"""The AWS APIs that runs on Fargate need: how they are asked, and how their refusals are told."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from operate.failures import Exit, Failure, unreachable

Answer = TypeVar("Answer")
AGENT = "agentenv"
"""Who asks, in AWS's own records."""
DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
"""AWS's names for what these credentials may not do."""
PATIENCE_SECONDS = 600
"""How long AWS may be away, or have no time, while something is waited for."""
MOST_PAUSE = 20
BUSY = frozenset(
    {
        "InternalFailure",
        "RequestLimitExceeded",
        "ServerException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""AWS's names for having no time just now."""


class Refused(Failure):
    """These credentials may not do that."""


@dataclass(frozen=True)
class Clients:
    """The AWS APIs; boto3 makes them at run time, so they have no type.

    Attributes:
        ecs: Tasks and services.
        logs: What they write.
        s3: Kept state and long task documents.
        temporary: Whether the credentials end by themselves, and every address that they signed with them.
        pause: Waits some seconds.
        clock: Seconds, only ever more.
    """

    ecs: Any
    logs: Any
    s3: Any = None
    temporary: Callable[[], bool] = lambda: False
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def clients(region: str | None) -> Clients:
    """Clients for one region; None for the one that the environment variables or the profile name.

    Raises:
        Failure: there is no such region or profile.
    """
    common = Config(retries={"mode": "standard", "total_max_attempts": 6}, user_agent_extra=AGENT)
    # A limited session resolves the bucket under one name alone, BUCKET.s3.REGION: see `components.plans.network`.
    named = Config(
        signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    )
    signing = common.merge(named)
    with asking_aws():
        session = boto3.Session(region_name=region)
        return Clients(
            session.client("ecs", config=common),
            session.client("logs", config=common),
            session.client("s3", config=signing),
            lambda: getattr(session.get_credentials(), "token", None) is not None,
        )


@contextmanager
def asking_aws() -> Iterator[None]:
    """AWS's own reason for what it refuses, as one error.

    Raises:
        Refused: these credentials may not do that.
        Failure: it refused for another reason, or could not be reached.
    """
    try:
        yield
    except ClientError as error:
        said = f"AWS refused {error.operation_name}: {reason(error)}"
        raise (Refused(said, Exit.UNREACHABLE) if code(error) in DENIED else unreachable(said)) from None
    except BotoCoreError as error:
        raise unreachable(f"AWS cannot be asked: {error}") from None


def patiently(clients: Clients, ask: Callable[[], Answer]) -> Answer:
    """Ask for what changes nothing again, for as long as AWS is away or has no time.

    Args:
        clients: AWS.
        ask: Asks it.

    Raises:
        ClientError: AWS refused, or had no time for ten minutes.
        BotoCoreError: it could not be reached for as long.
    """
    deadline, pause = clients.clock() + PATIENCE_SECONDS, 1.0
    while True:
        try:
            return ask()
        except ClientError as error:
            if code(error) not in BUSY or clients.clock() > deadline:
                raise
        except (NoConnectionError, HTTPClientError):
            if clients.clock() > deadline:
                raise
        clients.pause(spread(pause))
        pause = min(pause * 2, MOST_PAUSE)


def spread(seconds: float) -> float:
    """Some of these seconds: many that were refused at once do not all ask again at once."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret hangs on it


def code(error: ClientError) -> str:
    """AWS's name for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def reason(error: ClientError) -> str:
    """Name and message of what went wrong."""
    return f"{code(error)}: {error.response.get('Error', {}).get('Message', '')}"
