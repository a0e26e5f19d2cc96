"""Names of images, and which registry stands behind them."""

import os
import re
from dataclasses import dataclass

ECR_REGISTRY_VARIABLE = "AGENT_ENVIRONMENTS_ECR_REGISTRY"
_ECR_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_DEFAULT_HOST = "docker.io"


@dataclass(frozen=True)
class Reference:
    """A parsed image name: `[host/]repository[:tag][@digest]`.

    Attributes:
        host: registry as the name says it; `docker.io` when it says none.
        repository: path within the registry.
        tag: `latest` when the name has neither tag nor digest, empty when it has only a digest.
        digest: `sha256:...`, or empty.
    """

    host: str
    repository: str
    tag: str
    digest: str = ""

    @property
    def name(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.repository}"

    @property
    def ecr(self) -> "EcrHost | None":
        """Account and region, for a name in a private ECR registry."""
        found = _ECR_HOST.fullmatch(self.host)
        return EcrHost(found["account"], found["region"]) if found else None


@dataclass(frozen=True)
class EcrHost:
    """A private ECR registry: one per account and region."""

    account: str
    region: str


def parse(text: str) -> Reference:
    """Parses an image name.

    Args:
        text: for example `123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/base:abc`.

    Raises:
        ValueError: it is no image name.
    """
    rest, _, digest = text.partition("@")
    first, slash, tail = rest.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    host, path = (first, tail) if is_host else (_DEFAULT_HOST, rest)
    repository, colon, tag = path.partition(":")
    well_formed = re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository)
    if not well_formed or (colon and not re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII)):
        raise ValueError(f"{text!r} is no image name: must be [host/]repository[:tag], the repository in lower case")
    if host == _DEFAULT_HOST and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(host, repository, tag or ("" if digest else "latest"), digest)


def is_qualified(text: str) -> bool:
    """Says whether an image name is complete: with the registry and, on Docker Hub, with `library/`."""
    return text.startswith(parse(text).name)


def host_of(address: str) -> str:
    """Returns the host of a registry's address, which may have a scheme before it and a repository behind."""
    return address.partition("://")[2].partition("/")[0] or address.partition("/")[0]


def registry_address(reference: Reference) -> str:
    """Returns `host:port` of the registry that really holds the image.

    That is the local one that stands behind the emulated ECR, for a name in ECR and where one is set up.
    """
    local = os.environ.get(ECR_REGISTRY_VARIABLE, "")
    return local if local and reference.ecr else reference.host


def is_local(address: str) -> bool:
    """Says whether a registry is on this machine, where neither TLS nor a log-in is asked for."""
    return address.partition(":")[0] in ("127.0.0.1", "localhost")


def local_name(reference: Reference) -> str:
    """Returns the name, without tag and digest, under which the engine pushes and pulls the image."""
    return f"{registry_address(reference)}/{reference.repository}"
