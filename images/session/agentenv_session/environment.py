"""Environment variables of an agent's program: key-less, behind its proxy, with folders of its own."""

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from urllib.parse import quote, urlsplit

PLACEHOLDER = "held-by-the-gateway"
"""The program does not start without a key; the gateway puts the real one in its place."""
API_KEY, BEARER = "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
PRIVATE = ("AGENTENV_TASK", "AGENTENV_TASK_URL")
"""Variables with a task document, which may hold tokens and addresses: no program but the runner is handed them. Who is
of the runner's user reads them in /proc all the same."""
_QUIET = {
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    # A turn that ends before its helpers do would leave their answer to the next one, or to nobody.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}


def without_private(variables: MutableMapping[str, str]) -> None:
    """Take out what the runner passes on to nobody."""
    for name in PRIVATE:
        variables.pop(name, None)


def agent_variables(
    told: Mapping[str, str], home: Path, scratch: Path, policy_file: Path, identity: tuple[str, str] | None = None
) -> dict[str, str]:
    """What an agent's program is given beyond the container's own variables.

    Args:
        told: The container's.
        home: Its home folder.
        scratch: For temporary files.
        policy_file: Where it reads what its network lets through.
        identity: Name and token at the gateway, where several agents share the container.
    """
    gateway = told.get("AGENTENV_GATEWAY", "")
    url = urlsplit(gateway)
    found = {
        **_QUIET,
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "AGENTENV_POLICY_FILE": str(policy_file),
    }
    if url.hostname:
        found |= dict.fromkeys(("NO_PROXY", "no_proxy"), f"{url.hostname},127.0.0.1,localhost,::1")
    if identity is not None:
        name, token = (quote(part, safe="") for part in identity)
        for proxy in PROXIES:
            if proxy in told:
                found[proxy] = f"{url.scheme}://{name}:{token}@{url.netloc}"
    route = told.get("AGENTENV_MODEL_ROUTE")
    if route:
        if identity is not None:
            route = f"{gateway}/.as/{name}/{token}/{route.removeprefix(gateway).lstrip('/')}"
        # The program sends what it holds in the header that belongs to it, where the gateway puts the real one.
        key = BEARER if route.endswith(f"/{BEARER}") else API_KEY
        found |= {"ANTHROPIC_BASE_URL": route, key: PLACEHOLDER}
    return found
