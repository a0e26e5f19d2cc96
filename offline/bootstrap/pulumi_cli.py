"""Gets a `pulumi` command: the machine's own, else by the official installer, else built from Go modules."""

import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from offline.bootstrap.console import BootstrapError, output_of, run, say
from offline.bootstrap.layout import Layout
from offline.bootstrap.stamps import digest_of, is_done, set_done

MINIMUM = (3, 250)
_DOWNLOADS = "https://get.pulumi.com"
_REACH_SECONDS = 5.0
_MODULE = "github.com/pulumi/pulumi"
# The first Go that fetches by itself the newer toolchain that go.mod asks for.
_MINIMUM_GO = (1, 21)


def prepare(layout: Layout) -> None:
    """Puts `pulumi` into `.toolchain/bin`, unless it is there.

    Raises:
        BootstrapError: none of the three ways is open; the message says of each why.
    """
    target = layout.bin / "pulumi"
    stamp = layout.run / "pulumi-cli.stamp"
    digest = digest_of(layout.root / "offline" / "toolchain" / "go.mod", str(MINIMUM))
    if target.exists() and is_done(stamp, digest):
        return
    layout.bin.mkdir(parents=True, exist_ok=True)
    ways = (
        ("the machine's own pulumi", _link_machine_cli),
        ("Pulumi's official installer", _install),
        ("building it from Go modules", _build),
    )
    faults: list[str] = []
    for name, way in ways:
        try:
            way(layout, target)
        except BootstrapError as error:
            faults.append(f"  {len(faults) + 1}. {name}: {error}")
            continue
        set_done(stamp, digest)
        return
    needed = ".".join(map(str, MINIMUM))
    raise BootstrapError(f"pulumi {needed} or newer (3.x): none of the three ways is open\n" + "\n".join(faults))


def is_bundled(layout: Layout, executable: str) -> bool:
    """Says whether the CLI came with an executable beside it, as a real installation does.

    Args:
        layout: the checkout.
        executable: its file name, for example `pulumi-language-python`.
    """
    home = (layout.bin / "pulumi").resolve().parent
    return home != layout.bin.resolve() and (home / executable).exists()


def reachable(url: str) -> str:
    """Asks for the head of a page, through the machine's proxy if it has one.

    Returns:
        An empty string, or why it cannot be reached.
    """
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_REACH_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except (OSError, ValueError) as error:
        return f"{url} cannot be reached ({error})"


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Returns the first `major.minor.patch` in a text, or None."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _link_machine_cli(layout: Layout, target: Path) -> None:
    path = os.pathsep.join(p for p in os.environ.get("PATH", "").split(os.pathsep) if p and Path(p) != layout.bin)
    found = shutil.which("pulumi", path=path)
    if found is None:
        raise BootstrapError("not on PATH")
    version = parse_version(output_of([found, "version"]) or "")
    if version is None:
        raise BootstrapError(f"{found} version prints no version")
    if version[0] != MINIMUM[0] or version < MINIMUM:
        raise BootstrapError(f"{found} is {'.'.join(map(str, version))}")
    _link(target, Path(found))
    say(f"using {found} {'.'.join(map(str, version))}")


def _install(layout: Layout, target: Path) -> None:
    fault = reachable(f"{_DOWNLOADS}/install.sh")
    if fault:
        raise BootstrapError(fault)
    root = layout.toolchain / "pulumi-cli"
    code = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"
    run(
        [str(layout.python), "-c", code, str(root)],
        what="installing the Pulumi CLI with its official installer",
        takes="about 1 min",
        log=layout.run / "pulumi-install.log",
        timeout=600,
    )
    _link(target, root / "bin" / "pulumi")


def _build(layout: Layout, target: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise BootstrapError("go is not on PATH (any from 1.21 on fetches the version that is needed)")
    version = parse_version(output_of([go, "env", "GOVERSION"]) or "")
    if version is None or version < _MINIMUM_GO:
        raise BootstrapError(f"{go} is {version}, must be 1.21 or newer")
    module = layout.root / "offline" / "toolchain"
    cli = cli_version(module / "go.mod")
    log = layout.run / "pulumi-build.log"
    fresh = target.with_suffix(".new")
    flags = f"-s -w -X {_MODULE}/sdk/v3/go/common/version.Version=v{cli}"
    run(
        [go, "build", "-v", "-o", str(fresh), "-ldflags", flags, f"{_MODULE}/pkg/v3/cmd/pulumi"],
        what=f"building the Pulumi CLI {cli} from Go modules",
        takes="5-10 min the first time, seconds once Go's cache is warm",
        log=log,
        cwd=module,
        env={**os.environ, "CGO_ENABLED": "0"},
        progress=lambda: f"{log.read_bytes().count(10)} packages fetched or compiled",
    )
    fresh.replace(target)


def cli_version(go_mod: Path) -> str:
    """Returns the version of the CLI that `go.mod` requires, without the leading v."""
    found = re.search(rf"^require {re.escape(_MODULE)}/pkg/v3 v(\S+)$", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise BootstrapError(f"{go_mod} requires no {_MODULE}/pkg/v3")
    return found[1]


def _link(target: Path, source: Path) -> None:
    target.unlink(missing_ok=True)
    target.symlink_to(source)
