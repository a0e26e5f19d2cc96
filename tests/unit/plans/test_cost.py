"""Prices are those of the published list."""

import pytest

from components.models.session import Architecture
from components.plans.cost import hourly_price, shared_cost
from components.plans.size import FargateSize, fargate_size

SMALLEST = FargateSize(256, 512, None)


@pytest.mark.parametrize(
    ("size", "architecture", "spot", "price"),
    [
        (fargate_size(1, 1, 5), Architecture.X86_64, False, 0.0494),
        (fargate_size(1, 1, 5), Architecture.ARM64, False, 0.0395),
        (fargate_size(2, 4, 5), Architecture.ARM64, False, 0.079),
        (fargate_size(1, 1, 5), Architecture.X86_64, True, 0.0148),
        (fargate_size(1, 1, 120), Architecture.X86_64, False, 0.0605),
        (fargate_size(1, 1, 120), Architecture.X86_64, True, 0.0259),
        (fargate_size(1, 1, 20), Architecture.X86_64, False, 0.0494),
    ],
)
def test_an_hour_of_a_task(size: FargateSize, architecture: Architecture, spot: bool, price: float) -> None:
    assert hourly_price(size, architecture=architecture, spot=spot) == price


def test_the_default_session_costs_about_five_cents_an_hour() -> None:
    assert 0.045 < hourly_price(fargate_size(1, 1, 5), architecture=Architecture.X86_64) < 0.05


def test_what_stands_idle_is_added_up() -> None:
    cost = shared_cost(endpoints=3, zones=2, nat_gateways=1, gateways=2, gateway_size=SMALLEST)
    assert cost.endpoints == 0.06
    assert cost.nat == 0.05
    assert cost.gateways == 2 * (0.0123 + 0.005)
    assert cost.hour == 0.1446
    assert cost.month == 105.56


def test_a_stack_without_limited_environments_pays_for_no_endpoint() -> None:
    cost = shared_cost(endpoints=0, zones=2, nat_gateways=0, gateways=0, gateway_size=SMALLEST)
    assert (cost.hour, cost.month) == (0, 0)
