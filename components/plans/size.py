"""Task sizes that Fargate has, and which of them holds what a session asks for.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html (task CPU and memory,
task storage), read 2026-08.
"""

from dataclasses import dataclass

CPU_UNITS_PER_VCPU = 1024
MIB_PER_GIB = 1024
INCLUDED_DISK_GIB = 20
"""What every task has without asking; asking for it is an error at ECS."""
MAX_DISK_GIB = 200

MEMORY_GIB: dict[float, tuple[float, ...]] = {
    0.25: (0.5, 1, 2),
    0.5: (1, 2, 3, 4),
    1: tuple(range(2, 9)),
    2: tuple(range(4, 17)),
    4: tuple(range(8, 31)),
    8: tuple(range(16, 61, 4)),
    16: tuple(range(32, 121, 8)),
}
"""Memory sizes in GiB by vCPU: the published pairs, smallest first."""


@dataclass(frozen=True)
class FargateSize:
    """Size of a task.

    Attributes:
        cpu_units: 1024 to the vCPU.
        memory_mib: Memory in MiB.
        disk_gib: Ephemeral storage to ask for, 21 to 200 GiB; None for the 20 GiB that every task has.
    """

    cpu_units: int
    memory_mib: int
    disk_gib: int | None

    @property
    def vcpu(self) -> float:
        """Processors, in vCPU."""
        return self.cpu_units / CPU_UNITS_PER_VCPU

    @property
    def memory_gib(self) -> float:
        """Memory in GiB."""
        return self.memory_mib / MIB_PER_GIB

    @property
    def total_disk_gib(self) -> int:
        """Disk of the task in GiB, asked for or not."""
        return self.disk_gib or INCLUDED_DISK_GIB

    def explain(self, cpu: float, memory_gib: float, disk_gib: int) -> str:
        """What was wanted, what it became and why, in one line for a person."""
        wanted = _text(cpu, memory_gib, disk_gib)
        got = _text(self.vcpu, self.memory_gib, self.total_disk_gib)
        if got == wanted:
            return got
        if (self.vcpu, self.memory_gib) == (cpu, memory_gib):
            return f"{wanted} -> {got} (every Fargate task has {INCLUDED_DISK_GIB} GiB of disk)"
        least = next(vcpu for vcpu in MEMORY_GIB if vcpu >= cpu)
        cause = f"{cpu:g} vCPU" if self.vcpu == least else f"{memory_gib:g} GiB of memory"
        return f"{wanted} -> {got} (Fargate's smallest for {cause})"


def fargate_size(cpu: float, memory_gib: float, disk_gib: int) -> FargateSize:
    """The cheapest task size that holds what is wanted.

    Args:
        cpu: Wanted vCPU.
        memory_gib: Wanted memory in GiB.
        disk_gib: Wanted disk in GiB.

    Raises:
        ValueError: Fargate has no such size; with rule and fix.
    """
    if disk_gib > MAX_DISK_GIB:
        raise ValueError(
            f"a Fargate task has {MAX_DISK_GIB} GiB of disk at most. "
            f"Fix: ask for disk_gib of {MAX_DISK_GIB} or less, and keep larger data outside the container"
        )
    # A vCPU costs as much as nine GiB, so the fewest vCPU first; a test holds this against the prices.
    for vcpu, sizes in MEMORY_GIB.items():
        for memory in sizes:
            if 0 < cpu <= vcpu and 0 < memory_gib <= memory:
                disk = disk_gib if disk_gib > INCLUDED_DISK_GIB else None
                return FargateSize(int(vcpu * CPU_UNITS_PER_VCPU), int(memory * MIB_PER_GIB), disk)
    most_cpu, most_memory = max(MEMORY_GIB), MEMORY_GIB[max(MEMORY_GIB)][-1]
    raise ValueError(
        f"Fargate has no task of this size. "
        f"Fix: ask for cpu of more than 0 up to {most_cpu:g} and memory_gib of more than 0 up to {most_memory:g}"
    )


def _text(cpu: float, memory_gib: float, disk_gib: int) -> str:
    return f"{cpu:g} vCPU, {memory_gib:g} GiB, {disk_gib} GiB"
