"""Debian's Squid (peek and splice) with the same allow-list, as the yardstick for tests and benchmarks."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.attack.rig.gateway import wait_for
from tests.attack.rig.namespace import Namespace

PACKAGE = "squid-openssl"
PORT = 3128


class SquidMissingError(Exception):
    """There is no Squid with OpenSSL, and none can be installed."""


def ensure_squid() -> str:
    """The path of a Squid that can peek and splice; installed with apt if it is missing.

    Raises:
        SquidMissingError: It is missing, and this is not Debian or Ubuntu with root, or apt failed.
    """
    path = os.environ["PATH"] + ":/usr/sbin"
    found = shutil.which("squid", path=path)
    if not found:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise SquidMissingError(f"squid is not installed: as root on Debian or Ubuntu, `apt-get install {PACKAGE}`")
        # Debian starts the service on installation; nothing here uses it, and its port may be somebody else's.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "--quiet"], ["install", "--yes", "--no-install-recommends", PACKAGE]):
            done = subprocess.run(
                ["apt-get", *command], env=environment, capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode and command[0] == "install":
                raise SquidMissingError(f"apt-get install {PACKAGE} failed: {done.stderr.strip()[-500:]}")
        found = shutil.which("squid", path=path)
    if not found or "--enable-ssl-crtd" not in subprocess.run([found, "-v"], capture_output=True, text=True).stdout:
        raise SquidMissingError(f"the squid at {found} is built without OpenSSL: `apt-get install {PACKAGE}`")
    return found


def configuration(address: str, port: int, hosts: Sequence[str], *, certificate: Path, resolver: str) -> str:
    """The usual allow-list: names by CONNECT and by SNI, peek at the hello, splice or cut.

    Args:
        address: Listening address.
        port: Listening port.
        hosts: Allowed names in Squid's form; `.x` is x and everything below.
        certificate: PEM file with a key, which a bumping port must have and which splicing never shows.
        resolver: The DNS server's address.
    """
    names = " ".join(hosts)
    return f"""
http_port {address}:{port} ssl-bump generate-host-certificates=off tls-cert={certificate}
acl CONNECT method CONNECT
acl tls_port port 443
acl allowed_host dstdomain -n {names}
acl allowed_sni ssl::server_name {names}
http_access deny !CONNECT
http_access deny !tls_port
http_access allow allowed_host
http_access deny all
acl first_step at_step SslBump1
ssl_bump peek first_step
ssl_bump splice allowed_sni
ssl_bump terminate all
dns_nameservers {resolver}
dns_timeout 2 seconds
connect_timeout 5 seconds
positive_dns_ttl 1 second
negative_dns_ttl 1 second
max_filedescriptors 19000
cache deny all
access_log stdio:/dev/null
cache_log /dev/null
pid_filename none
netdb_filename none
pinger_enable off
coredump_dir /
shutdown_lifetime 0 seconds
visible_hostname squid.test
"""


class Squid:
    """One Squid process inside a namespace."""

    def __init__(
        self,
        namespace: Namespace,
        folder: Path,
        *,
        address: str,
        hosts: Sequence[str],
        certificate: Path,
        resolver: str,
        port: int = PORT,
    ) -> None:
        """Start it, and return when it accepts connections.

        Raises:
            SquidMissingError: See `ensure_squid`.
            TimeoutError: It does not come up; with what it said.
        """
        program = ensure_squid()
        self.address, self.port = address, port
        settings, log = folder / "squid.conf", folder / "squid.log"
        settings.write_text(configuration(address, port, hosts, certificate=certificate, resolver=resolver))
        with log.open("wb") as output:
            self._process = namespace.start(
                [program, "-N", "-d", "1", "-f", str(settings)],
                environment={"PATH": os.environ["PATH"] + ":/usr/sbin"},
                output=output,
            )

        def accepts() -> bool:
            try:
                namespace.connect(address, port, seconds=1).close()
            except OSError:
                return False
            return True

        try:
            wait_for("squid accepts connections", accepts, seconds=20)
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"{error}\n{log.read_text(errors='replace')}") from None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
