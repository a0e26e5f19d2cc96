"""Image plans: the Dockerfile of an environment or a gateway, and the tag that names its content.

Layers stand in the order in which they change least: the base system; what the agent runner needs, with the Agent SDK;
then for each package manager, in alphabetical order, a layer with what the manager itself needs and a layer with its
packages; then the runner itself. So a changed package rebuilds its manager's layer and what follows, and no manager is
there that nobody asked for.
Package strings stand in JSON arrays alone, which no shell reads.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.models.authorities import certificates
from components.models.environment import PACKAGE_MANAGERS, Packages
from components.models.session import MOST_AGENTS

BUILDER = 1
"""Part of every tag: raised when the meaning of a Dockerfile changes without its text changing."""
AGENT_UID, GATEWAY_UID = 10001, 10002
"""User and group of the programs in the two kinds of image."""
SHARED_GID = 10400
"""Group of the agents of one container that share a folder."""
AGENT_UIDS = range(10401, 10401 + MOST_AGENTS)
"""Users (and groups) of several agents in one container, in their order."""
SERVICE_UIDS = range(10100, 10356)
"""Users of services on a Docker host, one each: Linux counts the processes that `ulimit nproc` limits by user."""
LABEL = "agent-environments"
LIBRARY = "/usr/local/lib/agentenv"
INSTALL = ("python3", f"{LIBRARY}/install_packages.py")
FIND_REGISTRIES = ("python3", f"{LIBRARY}/find_registries.py")
RUNNER = "/opt/agentenv"
"""Virtual environment of the agent runner, with the Agent SDK and the `claude` program in it."""
RUNNER_PYTHON = f"{RUNNER}/bin/python"
SESSION_COMMAND = (RUNNER_PYTHON, "-I", f"{LIBRARY}/session.py")
"""What a session runs that names no command of its own."""
PREPARED = (*SESSION_COMMAND, "exec", "--")
"""Put before a session's own command: prepares what an agent finds, then becomes the command."""
STATE_FOLDER = "/var/lib/agentenv/state"
"""Where a volume with kept conversations is mounted, on a Docker host."""
STATE_FILES = ("a.tar", "b.tar")
"""All that an agent can write there, in turns: a volume lies on the host's disk, which all sessions share."""
BEHIND_FENCE = ("/usr/bin/python3", "-I", f"{LIBRARY}/behind_fence.py")
"""Put before a session's command on a Docker host: waits for the fence, then becomes the command."""
FENCE_LIBRARY = "/usr/local/lib/agentenv-fence"
FENCE_PROGRAM = ("/usr/bin/python3", "-I", f"{FENCE_LIBRARY}/fence.py")
FORWARD_PROGRAM = ("/usr/bin/python3", "-I", f"{FENCE_LIBRARY}/forward.py")
GATEWAY_LIBRARY = "/usr/local/lib/egress-gateway"
GATEWAY_POLICY, GATEWAY_STATE = "/policy", "/state"
"""Folders that the gateway's user owns: where a policy file is put, and what outlives a restart of the gateway."""
REGISTRIES = "/usr/local/share/egress-gateway/registries.json"
GATEWAY_PACKAGES = ("ca-certificates", "python3")
BASE_PACKAGES = ("bash", "ca-certificates", "curl", "git", "python3", "python3-venv")
VOLUMES = ("/tmp", "/workspace", "/home/agent")  # noqa: S108 - paths in the container
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAG_LENGTH = 32
# Fargate has no no-new-privileges, so nothing in the image may raise privileges. Last of what root does.
_NO_SETUID = ("find", "/", "-xdev", "(", "-type", "f", "-o", "-type", "d", ")", "-perm", "/6000")
_STRIP = (*_NO_SETUID, "-exec", "chmod", "u-s,g-s", "{}", "+")


@dataclass(frozen=True)
class ImagePlan:
    """An image to build.

    Attributes:
        context: Folder under `images/`; `.` for all of them, less what `images/.dockerignore` names.
        dockerfile: Its text.
        tag: Hash of everything that decides the content: equal plans share one build.
        labels: OCI labels.
    """

    context: str
    dockerfile: str
    tag: str
    labels: Mapping[str, str]


def session_image(
    packages: Packages, *, base: str, platform: str, context_hash: str, authorities: Sequence[str] = ()
) -> ImagePlan:
    """The image of every session of an environment with these packages.

    Args:
        packages: What to install; order and repetition do not matter.
        base: `name:tag@sha256:...` of Debian 13 or later.
        platform: `linux/amd64` or `linux/arm64`.
        context_hash: Hash over the files of `images/session`.
        authorities: PEM texts of further certificate authorities, trusted while packages are installed, too.

    Raises:
        ValueError: the base is not pinned, or a PEM text is none; with rule and fix.
    """
    wanted = _wanted(packages)
    lines = [f"FROM {base}", *_base(authorities), *_runner()]
    for manager, names in wanted.items():
        lines += [*_runtime(manager), _run(*INSTALL, manager, "--", *names)]
    lines += [
        f"COPY --chmod=0644 session.py behind_fence.py verify_fence.py {LIBRARY}/",
        f"COPY --chmod=0755 agentenv_session {LIBRARY}/agentenv_session",
        _run(RUNNER_PYTHON, "-m", "compileall", "-q", f"{LIBRARY}/agentenv_session"),
        _run(*_STRIP),
        _environment({"LANG": "C.UTF-8", "PATH": f"/opt/venv/bin:{SYSTEM_PATH}" if "pip" in wanted else SYSTEM_PATH}),
        f"USER {AGENT_UID}:{AGENT_UID}",
        "WORKDIR /workspace",
        # Fargate gives a task volume the owner of the image's folder only where the image declares a volume.
        f"VOLUME {json.dumps(VOLUMES)}",
        f"CMD {json.dumps(SESSION_COMMAND)}",
    ]
    return _plan("session", lines, base, platform, context_hash, wanted)


def gateway_image(
    *,
    base: str,
    platform: str,
    context_hash: str,
    packages: Packages | None = None,
    session_context_hash: str = "",
    authorities: Sequence[str] = (),
) -> ImagePlan:
    """The image of the egress gateway: Python, the program, what it imports, and no installer.

    Args:
        base: `name:tag@sha256:...` of Debian 13 or later.
        platform: `linux/amd64` or `linux/arm64`.
        context_hash: Hash over the files of `images/egress-gateway`.
        packages: Those of the environment, when its sessions may use package managers: the image then holds the
            registries that these managers are configured with. None: no registries, and gateways share one build.
        session_context_hash: Hash over the files of `images/session`; only with `packages`.
        authorities: PEM texts of further certificate authorities.

    Raises:
        ValueError: the base is not pinned, or a PEM text is none; with rule and fix.
    """
    # The programs that ask the managers are those of session images.
    context = "egress-gateway" if packages is None else "."
    here = "" if packages is None else "egress-gateway/"
    installed = f"{GATEWAY_LIBRARY}/packages"
    pip = ("/opt/build/bin/python", "-m", "pip", "install", "--no-cache-dir", "--no-deps", "--require-hashes")
    lines = [
        f"FROM {base} AS packages",
        _debian((*GATEWAY_PACKAGES, "python3-venv")),
        *_trusted(authorities),
        _run("python3", "-m", "venv", "/opt/build"),
        f"COPY --chmod=0644 {here}requirements.txt {GATEWAY_LIBRARY}/",
        _run(*pip, "--compile", "--target", installed, "--requirement", f"{GATEWAY_LIBRARY}/requirements.txt"),
        *(_registries(base, _wanted(packages), authorities) if packages is not None else []),
        f"FROM {base}",
        _debian(GATEWAY_PACKAGES, f"install -d -o {GATEWAY_UID} -g {GATEWAY_UID} {GATEWAY_POLICY} {GATEWAY_STATE}"),
        *_trusted(authorities),
        f"COPY --from=packages {installed} {installed}",
        f"COPY {here}egress_gateway {GATEWAY_LIBRARY}/egress_gateway",
        *([f"COPY --from=registries {LIBRARY}/registries.json {REGISTRIES}"] if packages is not None else []),
        _run("python3", "-m", "compileall", "-q", f"{GATEWAY_LIBRARY}/egress_gateway"),
        _run(*_STRIP),
        _environment({"LANG": "C.UTF-8", "PATH": SYSTEM_PATH, "PYTHONPATH": f"{GATEWAY_LIBRARY}:{installed}"}),
        f"USER {GATEWAY_UID}:{GATEWAY_UID}",
        # Fargate gives a task volume the owner of the image's folder only where the image declares a volume.
        f"VOLUME {json.dumps([GATEWAY_STATE, '/tmp'])}",  # noqa: S108 - a path in the container
        f"CMD {json.dumps(['python3', '-m', 'egress_gateway'])}",
    ]
    content = json.dumps([context_hash, session_context_hash]) if packages is not None else context_hash
    return _plan("egress-gateway", lines, base, platform, content, {}, context)


def fence_image(*, base: str, platform: str, context_hash: str) -> ImagePlan:
    """The image of the containers that hold a session's network namespace on a Docker host: Python and nftables.

    Args:
        base: `name:tag@sha256:...` of Debian 13 or later.
        platform: `linux/amd64` or `linux/arm64`.
        context_hash: Hash over the files of `images/fence`.

    Raises:
        ValueError: the base is not pinned; with rule and fix.
    """
    lines = [
        f"FROM {base}",
        _debian(("nftables", "python3")),
        f"COPY --chmod=0644 fence.py forward.py {FENCE_LIBRARY}/",
        # The compiled form of what others import; a program's own source is compiled at each start.
        _run("python3", "-m", "compileall", "-q", FENCE_LIBRARY),
        _run(*_STRIP),
        _environment({"LANG": "C.UTF-8", "PATH": SYSTEM_PATH}),
        # Nobody, unless a container is told otherwise: only the one that sets rules starts as root.
        "USER 65534:65534",
        f"ENTRYPOINT {json.dumps(FENCE_PROGRAM)}",
    ]
    return _plan("fence", lines, base, platform, context_hash, {})


def _base(authorities: Sequence[str], folder: str = "") -> list[str]:
    """What every session image starts with, before any package manager; its programs lie in `folder` of the context."""
    return [
        _debian(
            BASE_PACKAGES,
            f"groupadd --gid {AGENT_UID} agent",
            f"useradd --uid {AGENT_UID} --gid {AGENT_UID} --create-home --shell /bin/bash agent",
            f"for uid in $(seq {SERVICE_UIDS[0]} {SERVICE_UIDS[-1]}); do "
            f'echo "service$uid:x:$uid:{AGENT_UID}::/home/agent:/bin/bash"; done >> /etc/passwd',
            f"groupadd --gid {SHARED_GID} agents",
            f"for uid in $(seq {AGENT_UIDS[0]} {AGENT_UIDS[-1]}); do "
            'echo "agent$uid:x:$uid:" >> /etc/group; '
            'echo "agent$uid:x:$uid:$uid::/home/agent:/bin/bash" >> /etc/passwd; done',
            f"install -d -o {AGENT_UID} -g {AGENT_UID} /workspace",
            # A fresh volume takes this over. A service's user is of this group alone.
            f"install -d -m 0755 {STATE_FOLDER}",
            *(f"install -m 0660 -o {AGENT_UID} -g {AGENT_UID} /dev/null {STATE_FOLDER}/{name}" for name in STATE_FILES),
        ),
        *_trusted(authorities),
        f"COPY --chmod=0644 {folder}install_packages.py {LIBRARY}/",
    ]


def _runner(folder: str = "") -> list[str]:
    """What the agent runner imports, before any package manager: a changed package leaves this layer as it is."""
    return [f"COPY --chmod=0644 {folder}requirements.txt {LIBRARY}/", _run(*INSTALL, "runtime", "agent")]


def _trusted(authorities: Sequence[str]) -> list[str]:
    """The layer that has further certificate authorities trusted, by programs that look where Debian keeps them too."""
    found = [block for pem in authorities for block in certificates(pem)]
    if not found:
        return []
    write = "import pathlib, sys; [pathlib.Path(f'/usr/local/share/ca-certificates/agentenv-{n}.crt').write_text(pem) "
    write += "for n, pem in enumerate(sys.argv[1:])]"
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    return [
        _run("python3", "-c", write, *found),
        _run("update-ca-certificates"),
        # Node, requests and httpx bring lists of their own.
        _environment(dict.fromkeys(("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), bundle)),
    ]


def _registries(base: str, wanted: Mapping[str, list[str]], authorities: Sequence[str]) -> list[str]:
    """The stage that asks package managers for their registries, before any package of a user has run.

    Its first lines are those of the session image, so that the builder makes these layers once.
    """
    folder = "session/"
    # apt is in every session image, and so is pip, within python3-venv.
    managers = [manager for manager in PACKAGE_MANAGERS if manager in wanted or manager in ("apt", "pip")]
    optional = () if "pip" in wanted else ("--optional", "pip")
    declared = [manager for manager in managers if manager not in optional]
    return [
        f"FROM {base} AS registries",
        *_base(authorities, folder),
        *_runner(folder),
        *(line for manager in managers for line in _runtime(manager, folder)),
        f"COPY --chmod=0644 {folder}find_registries.py {LIBRARY}/",
        _run(*FIND_REGISTRIES, "--output", f"{LIBRARY}/registries.json", *optional, *declared),
    ]


def _wanted(packages: Packages) -> dict[str, list[str]]:
    """Packages by manager, in the order in which the managers run, each list as short and as sorted as it can be."""
    wanted = {manager: {*getattr(packages, manager)} for manager in PACKAGE_MANAGERS}
    # No version means the newest; `go install` alone wants to be told so.
    wanted["go"] = {name if "@" in name else f"{name}@latest" for name in wanted["go"]}
    return {manager: sorted(names) for manager, names in wanted.items() if names}


def _runtime(manager: str, folder: str = "") -> list[str]:
    """What stands before a manager's own layer; apt is there already. Files lie in `folder` of the context."""
    if manager == "apt":
        return []
    lines = [_run(*INSTALL, "runtime", manager)]
    if manager == "npm":
        # Node then trusts what the base image trusts, as every other runtime does by itself.
        lines = [
            f"COPY --chmod=0644 {folder}node-requirements.txt {LIBRARY}/",
            *lines,
            _environment({"NODE_USE_SYSTEM_CA": "1"}),
        ]
    return lines


def _debian(packages: Sequence[str], *then: str) -> str:
    """One layer of Debian packages that this module names itself, hence the shell."""
    steps = (
        "apt-get update -qq -o APT::Update::Error-Mode=any",
        f"DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends {' '.join(packages)}",
        "rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/log/apt /var/log/*.log",
        *then,
    )
    return "RUN " + " \\\n && ".join(steps)


def _run(*arguments: str) -> str:
    """A RUN that no shell reads, one argument a line: BuildKit limits the length of a line."""
    return "RUN [" + ", \\\n     ".join(map(json.dumps, arguments)) + "]"


def _environment(variables: Mapping[str, str]) -> str:
    return "ENV " + " ".join(f"{name}={value}" for name, value in variables.items())


def _plan(
    title: str,
    lines: Sequence[str],
    base: str,
    platform: str,
    context_hash: str,
    packages: Mapping[str, Sequence[str]],
    context: str | None = None,
) -> ImagePlan:
    name, _, digest = base.partition("@")
    if not digest.startswith("sha256:"):
        raise ValueError(f"base image {base!r} must be pinned by digest. Fix: write NAME:TAG@sha256:DIGEST")
    dockerfile = "\n".join(lines) + "\n"
    content = hashlib.sha256(json.dumps([BUILDER, dockerfile, platform, context_hash]).encode()).hexdigest()
    labels = {
        "org.opencontainers.image.title": f"{LABEL} {title}",
        "org.opencontainers.image.base.name": name,
        "org.opencontainers.image.base.digest": digest,
        f"{LABEL}.content": content,
        f"{LABEL}.packages": json.dumps(packages, separators=(",", ":")),
    }
    return ImagePlan(context or title, dockerfile, content[:_TAG_LENGTH], labels)
