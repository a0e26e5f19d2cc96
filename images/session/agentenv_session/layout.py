"""Where things lie in the container, and what one agent's program finds there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The container's folders.

    Attributes:
        root: What stands before each path: nothing, except in tests.
    """

    root: Path = Path("/")

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "Layout":
        """As `AGENTENV_ROOT` says."""
        return cls(Path(variables.get("AGENTENV_ROOT") or "/"))

    @property
    def workspace(self) -> Path:
        """Where agents work."""
        return self.root / "workspace"

    @property
    def home(self) -> Path:
        """Their programs' settings."""
        return self.root / "home/agent"

    @property
    def scratch(self) -> Path:
        """For files that nobody keeps."""
        return self.root / "tmp"

    @property
    def state(self) -> Path:
        """Where a volume with kept conversations is mounted."""
        return self.root / "var/lib/agentenv/state"


@dataclass(frozen=True)
class Place:
    """Where one agent's program runs.

    Attributes:
        cwd: Its work folder.
        variables: Its environment variables, beyond those of this process.
        note: What its instructions say of the network; empty for nothing.
        cli: The `claude` program; None for the one that comes with the SDK.
    """

    cwd: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    cli: Path | None = None
