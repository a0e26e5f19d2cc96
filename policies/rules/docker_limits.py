"""Every container is limited in memory, swap, processors and processes: what runs wild hurts only itself.

The provider cannot set a limit of processes on the container, so `ulimits` holds one of its user, which the kernel
counts over all containers: `docker-user-of-its-own` sees to it that no other container spends it. Gateways share a
user, and so do forwarders: there one would spend the limit of the others, and none of them runs code of an agent.
"""

import math
from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER
from policies.reading import get, items, shown
from policies.roles import is_session
from policies.verdict import Findings, cis, nist, resource_rule

PROCESSES = "nproc"


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each limit that is missing; silence about swap means as much swap again as there is memory."""
    for prop in ("memory", "memorySwap", "cpus"):
        with findings.deferring():
            value = get(args.props, prop)
            if not _is_positive(value):
                findings.violation(prop, "is missing" if value is None else f"is {shown(value)}, which is no limit")
    with findings.deferring():
        if is_session(args) and not any(_limits_processes(limit) for limit in items(get(args.props, "ulimits"))):
            findings.violation("ulimits", f"holds no {PROCESSES}")


def _limits_processes(limit: Any) -> bool:
    return get(limit, "name") == PROCESSES and _is_positive(get(limit, "hard")) and _is_positive(get(limit, "soft"))


def _is_positive(value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and number > 0


RULE = resource_rule(
    "docker-limits",
    "Every container states memory, memorySwap and cpus, and a session a ulimit nproc.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("5.11", "Ensure that the memory usage for containers is limited"),
        cis("5.12", "Ensure that CPU priority is set appropriately on containers"),
        cis("5.29", "Ensure that the PIDs cgroup limit is used"),
        nist("SC-6", "Resource Availability"),
    ),
    fix='set memory, memorySwap (the same: no swap), cpus and ulimits [{"name": "nproc", "soft": N, "hard": N}]',
)
