"""Asks package managers for the registries that they are configured with. Runs as root while an image is built.

    find_registries.py --output FILE [--optional MANAGER]... MANAGER...

Writes [{"manager", "host", "port"}, ...]: what a session's package managers must reach, and so what its gateway opens
for them. No host is known here: each comes from the manager itself, hence from its own default or from what the base
image configured. A gateway tunnels TLS alone, so an address that is not https is told on stderr and left out.

An optional manager that cannot reach its registry is told on stderr too; any other ends the build, since the answer
would lack the hosts that only the registry itself can name.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

HTTPS = 443
# Packages that every registry of their kind has: asked for to see which hosts their files come from.
COMMON = {"cargo": "cfg-if", "npm": "npm", "pip": "pip"}
PIP = "/opt/venv/bin/python"
PIP_LINE = re.compile(r"\s*(?:Fetching project page and analyzing links:|Found link) (\S+)")
# `gem` fetches its index from another host than the one that it is configured with; RubyGems itself knows which.
GEM_SCRIPT = (
    "require 'rubygems/remote_fetcher'; require 'rubygems/resolver';"
    " Gem.sources.each_source { |s| puts s.uri; set = s.dependency_resolver_set;"
    " puts set.dep_uri if set.respond_to?(:dep_uri) }"
)


class Silent(Exception):  # noqa: N818 - an answer that did not come, not a failure of this program
    """A manager could not be asked, or could not reach its registry; says what it said."""


@dataclass(frozen=True)
class Command:
    """One process to run: its arguments, and environment variables beyond the inherited ones."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None


@dataclass(frozen=True)
class Answer:
    """How a process ended, and what it printed."""

    code: int
    out: str
    err: str = ""


Runner = Callable[[Command], Answer]


def run(command: Command) -> Answer:
    """Run a command to its end."""
    done = subprocess.run(
        command.arguments,
        env={**os.environ, **command.variables},
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def apt(runner: Runner, _scratch: Path) -> Iterator[str]:
    """The sites of apt's sources."""
    yield from _asked(runner, Command(("apt-get", "indextargets", "--no-release-info", "--format", "$(SITE)"))).split()


def cargo(runner: Runner, scratch: Path) -> Iterator[str]:
    """The index that replaces the default one, if any; the index that cargo uses; and where that says crates are."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    configured = [*_cargo_configured(home)]
    yield from configured
    (scratch / "src").mkdir()
    (scratch / "src/lib.rs").touch()
    (scratch / "Cargo.toml").write_text(
        f'[package]\nname = "x"\nversion = "0.0.0"\n[dependencies]\n{COMMON["cargo"]} = "*"\n'
    )
    _asked(runner, Command(("cargo", "fetch", "--quiet"), folder=str(scratch)))
    for index in home.glob("registry/index/*"):
        # Named by cargo: the host of the index, a hyphen and a hash. A configured one is known with its port.
        host = index.name.rpartition("-")[0]
        if host not in {urlsplit(address).hostname for address in configured}:
            yield f"https://{host}/"
        configuration = index / "config.json"
        if configuration.exists():
            yield json.loads(configuration.read_text())["dl"]


def _cargo_configured(home: Path) -> Iterator[str]:
    for file in (home / "config.toml", home / "config"):
        if file.is_file():
            settings = tomllib.loads(file.read_text())
            for kind, key in (("source", "registry"), ("registries", "index")):
                yield from (
                    str(one[key]).removeprefix("sparse+") for one in settings.get(kind, {}).values() if key in one
                )


def gem(runner: Runner, _scratch: Path) -> Iterator[str]:
    """The sources of gems and of their index."""
    yield from _asked(runner, Command(("ruby", "-e", GEM_SCRIPT))).split()


def go(runner: Runner, _scratch: Path) -> Iterator[str]:
    """The module proxies and the checksum database."""
    proxies, database = (_asked(runner, Command(("go", "env", key))).strip() for key in ("GOPROXY", "GOSUMDB"))
    for proxy in re.split(r"[,|]", proxies):
        if proxy not in ("direct", "off", ""):
            yield proxy
    name, *url = database.split()
    if name != "off":
        # `name+key` or `name+key URL`; without a URL the name is the host.
        yield url[0] if url else f"https://{name.partition('+')[0]}"


def npm(runner: Runner, _scratch: Path) -> Iterator[str]:
    """The registry, those of scopes, and where the registry says that packages are."""
    settings = json.loads(_asked(runner, Command(("npm", "config", "list", "--json"))))
    yield from (
        value for key, value in settings.items() if key.rpartition(":")[2] == "registry" and isinstance(value, str)
    )
    yield from _asked(runner, Command(("npm", "view", COMMON["npm"], "dist.tarball"))).split()


def pip(runner: Runner, scratch: Path) -> Iterator[str]:
    """The package indexes, and the hosts of the files that their pages link to."""
    options = ("--no-deps", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--dest", str(scratch))
    answer = runner(Command((PIP, "-m", "pip", "-vvv", "download", *options, COMMON["pip"])))
    yield from (found[1] for line in answer.out.splitlines() if (found := PIP_LINE.match(line)))
    if answer.code:
        raise Silent(_end(answer))


ASK: Mapping[str, Callable[[Runner, Path], Iterator[str]]] = {
    "apt": apt,
    "cargo": cargo,
    "gem": gem,
    "go": go,
    "npm": npm,
    "pip": pip,
}


def _asked(runner: Runner, command: Command) -> str:
    answer = runner(command)
    if answer.code:
        raise Silent(_end(answer))
    return answer.out


def _end(answer: Answer) -> str:
    lines = (answer.err.strip() or answer.out.strip()).splitlines()
    return lines[-1] if lines else f"exit code {answer.code}"


def places(addresses: Iterable[str], manager: str) -> Iterator[tuple[str, int]]:
    """(host, port) of each https address; another is told on stderr."""
    for address in dict.fromkeys(addresses):
        url = urlsplit(address)
        if url.scheme == "https" and url.hostname:
            yield url.hostname.rstrip("."), url.port or HTTPS
        else:
            _say(f"{manager}: {address} is not https, so gateways do not open it")


def main(arguments: Sequence[str], runner: Runner = run) -> int:
    """Ask, and write the answers.

    Returns:
        0, or 1 when a manager that is not optional could not be asked.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--optional", action="append", choices=sorted(ASK), default=[])
    parser.add_argument("managers", nargs="+", choices=sorted(ASK))
    given = parser.parse_args(arguments)
    found: set[tuple[str, str, int]] = set()
    for manager in (*given.managers, *given.optional):
        addresses: list[str] = []
        try:
            with tempfile.TemporaryDirectory() as scratch:
                # One by one: what was said before a failure counts.
                for address in ASK[manager](runner, Path(scratch)):
                    addresses.append(address)  # noqa: PERF402 - extend() would lose them
        except Silent as reason:
            if manager not in given.optional:
                _say(f"{manager} cannot tell where its packages come from: {reason}")
                return 1
            _say(f"{manager} does not reach its registry, so the hosts of its files are not known: {reason}")
        found |= {(manager, *place) for place in places(addresses, manager)}
    known = [{"manager": manager, "host": host, "port": port} for manager, host, port in sorted(found)]
    given.output.write_text(json.dumps(known, indent=1) + "\n")
    _say("; ".join(f"{one['manager']}: {one['host']}:{one['port']}" for one in known) or "no registry")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"find_registries: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
