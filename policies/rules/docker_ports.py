"""Ports are published on loopback: who serves them to others decides so in front of this host.

The engine writes its own firewall rules before the host's, so a port on every address is open whatever those say.
"""

from ipaddress import ip_address
from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, NETWORK, elements
from policies.reading import get, shown
from policies.verdict import Findings, cis, nist, resource_rule

GATEWAY_MODES = tuple(f"com.docker.network.bridge.gateway_mode_{family}" for family in ("ipv4", "ipv6"))
OPEN_MODES = ("routed", "nat-unprotected")
"""Modes in which other machines reach a container's own address: `routed` its published ports, the other every port."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each port on another address than loopback; silence means every address."""
    if args.resource_type == NETWORK:
        for option in GATEWAY_MODES:
            with findings.deferring():
                mode = get(args.props, "options", option)
                if mode in OPEN_MODES:
                    findings.violation(f"options[{option}]", f"is {shown(mode)}")
        return
    with findings.deferring():
        if get(args.props, "publishAllPorts"):
            findings.violation("publishAllPorts", "is true")
    for at, port in elements(args, "ports", findings):
        with findings.deferring():
            address = get(port, "ip")
            if not _is_loopback(address):
                findings.violation(f"{at}.ip", "is missing" if address is None else f"is {shown(address)}")


def _is_loopback(address: Any) -> bool:
    try:
        return ip_address(str(address)).is_loopback
    except ValueError:
        return False


RULE = resource_rule(
    "docker-ports-on-loopback",
    "Every published port is published on a loopback address, and no network lets other machines in.",
    types=(CONTAINER, NETWORK),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("5.14", "Ensure that incoming container traffic is bound to a specific host interface"),
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
    ),
    fix="set ip to 127.0.0.1, and put a reverse proxy of the host's before what others shall reach",
)
