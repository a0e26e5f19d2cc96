"""Task sizes: the cheapest that exists and holds what is asked for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.models.session import Architecture
from components.plans.cost import hourly_price
from components.plans.size import FargateSize, fargate_size

# Written out from the published table, so that it does not share a mistake with the code.
PUBLISHED = {
    256: [512, 1024, 2048],
    512: [1024, 2048, 3072, 4096],
    1024: [1024 * g for g in (2, 3, 4, 5, 6, 7, 8)],
    2048: [1024 * g for g in range(4, 17)],
    4096: [1024 * g for g in range(8, 31)],
    8192: [1024 * g for g in (16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60)],
    16384: [1024 * g for g in (32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120)],
}


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ((1, 1, 5), FargateSize(1024, 2048, None)),
        ((0.25, 0.5, 20), FargateSize(256, 512, None)),
        ((0.1, 0.1, 1), FargateSize(256, 512, None)),
        ((0.25, 3, 21), FargateSize(512, 3072, 21)),
        ((3, 8, 200), FargateSize(4096, 8192, 200)),
        ((4, 30.5, 5), FargateSize(8192, 32768, None)),
        ((8, 17, 5), FargateSize(8192, 20480, None)),
        ((8, 61, 5), FargateSize(16384, 65536, None)),
        ((16, 120, 5), FargateSize(16384, 122880, None)),
    ],
)
def test_the_smallest_that_fits(wanted: tuple[float, float, int], size: FargateSize) -> None:
    assert fargate_size(*wanted) == size


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        ((1, 1, 201), "200 GiB of disk at most"),
        ((17, 1, 5), "no task of this size"),
        ((1, 121, 5), "no task of this size"),
        ((0, 1, 5), "no task of this size"),
        ((1, -1, 5), "no task of this size"),
        ((math.nan, 1, 5), "no task of this size"),
        ((math.inf, 1, 5), "no task of this size"),
    ],
)
def test_what_fargate_lacks_is_refused_with_a_fix(wanted: tuple[float, float, int], rule: str) -> None:
    with pytest.raises(ValueError, match=rf"{rule}.*Fix: ask for"):
        fargate_size(*wanted)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ((1, 1, 5), "1 vCPU, 1 GiB, 5 GiB -> 1 vCPU, 2 GiB, 20 GiB (Fargate's smallest for 1 vCPU)"),
        ((0.3, 0.5, 20), "0.3 vCPU, 0.5 GiB, 20 GiB -> 0.5 vCPU, 1 GiB, 20 GiB (Fargate's smallest for 0.3 vCPU)"),
        ((0.25, 8, 20), "0.25 vCPU, 8 GiB, 20 GiB -> 1 vCPU, 8 GiB, 20 GiB (Fargate's smallest for 8 GiB of memory)"),
        ((1, 2, 5), "1 vCPU, 2 GiB, 5 GiB -> 1 vCPU, 2 GiB, 20 GiB (every Fargate task has 20 GiB of disk)"),
        ((1, 2, 20), "1 vCPU, 2 GiB, 20 GiB"),
        ((2, 4, 100), "2 vCPU, 4 GiB, 100 GiB"),
    ],
)
def test_the_mapping_is_shown(wanted: tuple[float, float, int], text: str) -> None:
    assert fargate_size(*wanted).explain(*wanted) == text


@given(st.floats(0.01, 16), st.floats(0.01, 120), st.integers(1, 200))
def test_whatever_is_accepted_exists_covers_and_is_the_cheapest(cpu: float, memory: float, disk: int) -> None:
    size = fargate_size(cpu, memory, disk)
    assert size.memory_mib in PUBLISHED[size.cpu_units]
    assert size.cpu_units >= cpu * 1024
    assert size.memory_mib >= memory * 1024
    assert size.disk_gib is None if disk <= 20 else size.disk_gib == disk
    holding = [
        FargateSize(units, mib, size.disk_gib)
        for units, sizes in PUBLISHED.items()
        for mib in sizes
        if units >= cpu * 1024 and mib >= memory * 1024
    ]
    for architecture in Architecture:
        for spot in (False, True):
            prices = [hourly_price(one, architecture=architecture, spot=spot) for one in holding]
            assert hourly_price(size, architecture=architecture, spot=spot) == min(prices)
