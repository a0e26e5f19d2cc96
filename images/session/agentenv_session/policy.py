"""What the network lets this session reach, as its gateway says: a file for the agent, and a word about it."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 15.0
"""For a gateway that starts at the same time."""
POLICY_FILE = "agentenv/network-policy.json"
"""Below an agent's scratch folder."""
REFUSALS = (http.client.FORBIDDEN, http.client.PROXY_AUTHENTICATION_REQUIRED)
"""How the gateway says no: by a rule, or for want of a token of the agent's own."""
UNKNOWN = "unknown-session"
"""The rule by which the gateway refuses whom it has not heard of, or not yet: its own policy and ECS may lag."""
_PAUSE_SECONDS = 0.2
_MOST_BYTES = 4 * 1024 * 1024
NOTE = (
    "This container's network is fenced. {file} says in JSON which hosts you may reach; every other request is refused "
    "by the proxy with a message that names the rule and how to have it changed. Do not try to get round it."
)


class GatewayAwayError(Exception):
    """The gateway did not answer in time."""


class RefusedError(Exception):
    """The gateway answered that it knows no such session."""


def fetch(gateway: str, seconds: float = SECONDS, pause: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """The effective policy of this session.

    Args:
        gateway: `http://HOST:PORT`.
        seconds: How long to ask again where nobody answers, or who does has not heard of this session yet.
        pause: Waits some seconds.

    Raises:
        GatewayAwayError: nobody answered in that time.
        RefusedError: the gateway does not know this session.
    """
    # Not by the proxy: the gateway itself is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while True:
        try:
            with opener.open(f"{gateway}/.policy", timeout=5) as answer:
                told = json.loads(answer.read(_MOST_BYTES))
            if isinstance(told, dict):
                return told
            problem: object = "its answer is no object"
        except urllib.error.HTTPError as error:
            with error:
                rule = error.headers.get("x-egress-rule", "")
            problem = f"{error.code} {rule}".strip()
            if error.code in REFUSALS and (rule != UNKNOWN or time.monotonic() >= end):
                raise RefusedError(f"the gateway does not know this session ({problem})") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = error
        if time.monotonic() >= end:
            raise GatewayAwayError(f"no gateway answers at {gateway} ({problem})")
        pause(_PAUSE_SECONDS)


def refusal(route: str) -> str | None:
    """The rule by which the gateway refuses requests to the model; None when it does not.

    Args:
        route: Where the agent's program sends them.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{route}/v1/models?limit=1", timeout=5):
            return None
    except urllib.error.HTTPError as error:
        with error:
            rule = error.headers.get("x-egress-rule") if error.code in REFUSALS else None
            # A list of paths may leave this question out and let the agent's own through.
            return rule if rule != "route-path-not-allowed" else None
    except (OSError, http.client.HTTPException):
        return None


def write(policy: dict[str, Any], file: Path) -> str:
    """Put the policy where the agent reads it.

    Returns:
        What its instructions say of it; empty where sessions reach everything.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(policy, indent=1) + "\n")
    fresh.chmod(0o444)
    fresh.replace(file)
    return NOTE.format(file=file) if policy.get("networking") != "unrestricted" else ""
