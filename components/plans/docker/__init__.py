"""What must exist on a Docker host: addresses, rules and containers, as plain data."""

from components.plans.docker.addresses import SessionNetwork, declared_networks, run_networks, service_uids
from components.plans.docker.container import Attachment, Check, ContainerPlan, Mount
from components.plans.docker.containers import (
    anchor_container,
    fence_container,
    forwarder_container,
    gateway_container,
    session_container,
    writer_container,
)
from components.plans.docker.rules import SAFETY_BLOCKLIST_V6, fence_rules, gateway_rules

__all__ = [
    "SAFETY_BLOCKLIST_V6",
    "Attachment",
    "Check",
    "ContainerPlan",
    "Mount",
    "SessionNetwork",
    "anchor_container",
    "declared_networks",
    "fence_container",
    "fence_rules",
    "forwarder_container",
    "gateway_container",
    "gateway_rules",
    "run_networks",
    "service_uids",
    "session_container",
    "writer_container",
]
