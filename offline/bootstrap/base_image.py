"""The base image `debian:trixie-slim`: pulled where a registry can be reached, else made with debootstrap.

Either way it is named by digest, so the same Dockerfile is built with and without the Internet.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from offline.bootstrap import debian
from offline.bootstrap.certificates import extra_certificates, trusted_bundle
from offline.bootstrap.console import BootstrapError, output_of, run, say
from offline.bootstrap.docker_engine import mirrors
from offline.bootstrap.layout import Layout

NAME = "debian:trixie-slim"
_SUITE = "trixie"
_PULL_SECONDS = 120.0
_LOAD_SECONDS = 300.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Any fixed moment does; the files' own times would make each build of the same packages a new digest.
_EPOCH = 1735689600
_CREATED = "2025-01-01T00:00:00Z"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# As in the official image: documentation stays out, also of what is installed later.
_DPKG_EXCLUDES = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
"""
_APT_CLEAN = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Acquire::Languages "none";
Acquire::GzipIndexes "true";
"""
# Emptied: what installing left behind, and what names the machine or the moment of the build.
_EMPTIED = (
    "var/lib/apt/lists",
    "var/cache",
    "var/log",
    "usr/share/groff",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "tmp",
    "run",
    "dev",
)
_REMOVED = ("etc/machine-id", "etc/.pwd.lock", "var/lib/systemd/random-seed", "etc/resolv.conf", "etc/hostname")


def prepare(layout: Layout, client: str, registry: str) -> str:
    """Makes sure that the engine has the base image.

    Args:
        layout: the checkout.
        client: the docker client.
        registry: `host:port` of the checkout's registry, which keeps an image made here.

    Returns:
        The reference by digest that a Dockerfile can name.

    Raises:
        BootstrapError: it cannot be pulled and cannot be made.
    """
    record = layout.run / "base-image"
    if record.is_file():
        reference = record.read_text()
        made_here = not reference.startswith("debian:")
        if _digest(client, reference) and (not made_here or reference.startswith(registry)):
            return reference
    reference = _pull(layout, client) or _make(layout, client, registry)
    record.write_text(reference)
    return reference


def _pull(layout: Layout, client: str) -> str | None:
    try:
        run(
            [client, "pull", NAME],
            what=f"asking the engine to pull {NAME}",
            takes="up to 30 s",
            log=layout.run / "base-pull.log",
            timeout=_PULL_SECONDS,
        )
    except BootstrapError:
        return None
    digest = _digest(client, NAME)
    return f"{NAME}@{digest}" if digest else None


def _digest(client: str, reference: str) -> str | None:
    """Returns the digest by which the engine knows an image of the reference's repository, or None."""
    text = output_of([client, "image", "inspect", "--format", "{{json .RepoDigests}}", reference])
    if text is None:
        return None
    repository = re.sub(r"(:[^:/]+)?(@.+)?$", "", reference)
    for entry in json.loads(text):
        name, _, digest = str(entry).partition("@")
        if name == repository:
            return digest
    return None


def _make(layout: Layout, client: str, registry: str) -> str:
    if os.geteuid() != 0:
        raise BootstrapError(f"base image: {NAME} cannot be pulled, and only root can make it with debootstrap")
    # Ubuntu has debootstrap without the keys of Debian's archive.
    if shutil.which("debootstrap") is None or not _KEYRING.is_file():
        debian.install(["debootstrap", "debian-archive-keyring"], purpose="base image", log=layout.run / "apt.log")
    local = f"{registry}/library/{NAME}"
    with tempfile.TemporaryDirectory(dir=layout.toolchain, prefix="base-") as folder:
        root = Path(folder, "root")
        run(
            ["debootstrap", "--variant=minbase", _SUITE, str(root)],
            what=f"making the base image {NAME} with debootstrap, since it cannot be pulled",
            takes="35-60 s",
            log=layout.run / "debootstrap.log",
            env={**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH)},
        )
        trim(root)
        add_certificates(root, extra_certificates(trusted_bundle()))
        archive = Path(folder, "image.tar")
        write_image(root, archive, [NAME, local], _MACHINES.get(os.uname().machine, os.uname().machine))
        log = layout.run / "base-load.log"
        run([client, "load", "-i", str(archive)], what="loading it", takes="about 5 s", log=log, timeout=_LOAD_SECONDS)
    run([client, "push", local], what="pushing it to the local registry", takes="about 5 s", log=log, timeout=300)
    digest = _digest(client, local)
    if digest is None:
        raise BootstrapError(f"base image: the engine knows no digest of {local} after its push ({log})")
    if f"http://{registry}" in mirrors(client):
        reference = f"{NAME}@{digest}"
        run([client, "pull", reference], what="pulling it by digest", takes="seconds", log=log, timeout=_PULL_SECONDS)
        return reference
    say(f"the engine does not use {registry} as a mirror: the base image is named there")
    return f"{local}@{digest}"


def trim(root: Path) -> None:
    """Takes out of a fresh Debian tree what the official slim image does not have either.

    Args:
        root: the tree, changed in place.
    """
    for name in _EMPTIED:
        folder = root / name
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    for name in _REMOVED:
        (root / name).unlink(missing_ok=True)
    for page in sorted((root / "usr/share/doc").rglob("*")):
        if page.name != "copyright" and not page.is_dir():
            page.unlink()
    for backup in [*root.glob("etc/*-"), *root.glob("var/lib/dpkg/*-old")]:
        backup.unlink()
    (root / "etc/dpkg/dpkg.cfg.d/docker").write_text(_DPKG_EXCLUDES)
    (root / "etc/apt/apt.conf.d/docker-clean").write_text(_APT_CLEAN)
    # apt and dpkg expect these to be there.
    for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _add_security_updates(root / "etc/apt/sources.list")


def _add_security_updates(sources: Path) -> None:
    """Adds the updates and security suites of the archive that debootstrap chose."""
    lines = sources.read_text().splitlines()
    archive = next(line.split()[1] for line in lines if line.startswith("deb "))
    base = archive.rstrip("/").removesuffix("/debian")
    sources.write_text(
        f"deb {archive} {_SUITE} main\n"
        f"deb {archive} {_SUITE}-updates main\n"
        f"deb {base}/debian-security {_SUITE}-security main\n"
    )


def add_certificates(root: Path, certificates: dict[str, str]) -> None:
    """Puts certificates where the package `ca-certificates` finds them when it is installed.

    The bundle itself is not written: the official image has none either, and a Dockerfile that forgets to
    install the package must fail here as it would there.
    """
    folder = root / "usr/local/share/ca-certificates"
    for name, pem in certificates.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(pem)


def write_image(root: Path, archive: Path, names: list[str], architecture: str) -> None:
    """Writes a tree as a one-layer image for `docker load`; equal trees give equal images.

    Args:
        root: the tree.
        archive: the file to write.
        names: names that the loaded image gets.
        architecture: as Docker says it (`amd64`, `arm64`).
    """
    layer = archive.with_name("layer.tar")
    subprocess.run(
        ["tar", "--sort=name", f"--mtime=@{_EPOCH}", "--numeric-owner", "--format=gnu", "-cf", layer, "-C", root, "."],
        check=True,
    )
    with layer.open("rb") as stream:
        diff_id = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": _CREATED,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["bash"],
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": _CREATED, "comment": f"debootstrap --variant=minbase {_SUITE}"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as image:
        _add(image, "config.json", json.dumps(config).encode())
        _add(image, "manifest.json", json.dumps(manifest).encode())
        image.add(layer, "layer.tar")
    layer.unlink()


def _add(image: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    image.addfile(entry, io.BytesIO(data))
