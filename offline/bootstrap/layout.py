"""Where the set-up keeps what it makes: two folders of the project, both ignored by git."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of one checkout.

    Attributes:
        root: the project folder.
    """

    root: Path

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The virtual environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def toolchain(self) -> Path:
        """Everything else that the set-up makes."""
        return self.root / ".toolchain"

    @property
    def bin(self) -> Path:
        """Executables, first on PATH: `pulumi`, the language host's wrapper, the docker client."""
        return self.toolchain / "bin"

    @property
    def run(self) -> Path:
        """Records of the servers that run, and logs."""
        return self.toolchain / "run"

    @property
    def registry(self) -> Path:
        """Storage of the image registry."""
        return self.toolchain / "registry"

    @property
    def state(self) -> Path:
        """Pulumi's file back end, and the state that the `aws` stand-in keeps itself."""
        return self.toolchain / "state"

    @property
    def pulumi_home(self) -> Path:
        """`PULUMI_HOME`: installed plugins and the log-in."""
        return self.toolchain / "pulumi"

    @property
    def env_file(self) -> Path:
        """The file to source before typing `pulumi`."""
        return self.toolchain / "env.sh"


def find_layout() -> Layout:
    """Returns the layout of the checkout that this module belongs to."""
    return Layout(Path(__file__).resolve().parents[2])
