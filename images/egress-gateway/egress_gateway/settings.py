"""What the gateway's environment variables say."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the gateway finds and leaves things.

    Attributes:
        policy: Path of the policy document, or `s3://bucket/key`.
        listen: Address and port of the proxy.
        admin: Address and port of the health checks and metrics; no session may reach it.
        state: Folder that is kept over a restart, with the control socket in it.
        cluster: ECS cluster whose tasks are the sessions; None for identities from the policy alone.
        registries: File with the package registries of the environment's image.
        nameservers: `ip:port` each; none for the system's.
        ca_file: Certificates to trust besides the system's, for route origins.
        fence: Whether another container holds the gateway's network namespace, and must be there.
    """

    policy: str
    listen: tuple[str, int]
    admin: tuple[str, int]
    state: Path
    cluster: str | None
    registries: Path
    nameservers: tuple[str, ...]
    ca_file: Path | None
    fence: bool = False

    @property
    def control(self) -> Path:
        """Path of the control socket."""
        return self.state / "control.sock"


def read_settings(variables: Mapping[str, str] = os.environ) -> Settings:
    """The settings, with defaults for what is not set or empty.

    Raises:
        ValueError: a variable's value cannot be one.
    """

    def text(name: str, default: str = "") -> str:
        return variables.get(name) or default

    def place(name: str, default: str) -> tuple[str, int]:
        host, _, port = text(name, default).rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"{name} = {text(name)!r}: is no address and port. Fix: write it like {default}")
        return host.strip("[]"), int(port)

    identity = text("EGRESS_IDENTITY", "policy")
    kind, _, cluster = identity.partition(":")
    if not (identity == "policy" or (kind == "ecs" and cluster)):
        raise ValueError(f"EGRESS_IDENTITY = {identity!r}: names no directory. Fix: write policy or ecs:CLUSTER")
    ca_file = text("EGRESS_CA_FILE")
    if (fence := text("EGRESS_FENCE", "0")) not in ("0", "1"):
        raise ValueError(f"EGRESS_FENCE = {fence!r}: is neither yes nor no. Fix: write 1 or 0")
    return Settings(
        policy=text("EGRESS_POLICY", "/policy/policy.json"),
        listen=place("EGRESS_LISTEN", "0.0.0.0:3128"),
        admin=place("EGRESS_ADMIN", "127.0.0.1:9901"),
        state=Path(text("EGRESS_STATE", "/state")),
        cluster=cluster or None,
        registries=Path(text("EGRESS_REGISTRIES", "/usr/local/share/egress-gateway/registries.json")),
        nameservers=tuple(one.strip() for one in text("EGRESS_NAMESERVERS").split(",") if one.strip()),
        ca_file=Path(ca_file) if ca_file else None,
        fence=fence == "1",
    )
