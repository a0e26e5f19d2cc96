"""Plans as resources of Pulumi's Docker provider."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_docker as docker

from components.plans.docker import SessionNetwork
from components.plans.docker.container import LOG_DRIVER, LOG_OPTIONS, LOOPBACK, MIB, Attachment, Check, ContainerPlan

HEALTHY_SECONDS = 90
"""How long `up` waits for a container to be healthy."""
ISOLATED = {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}
NO_MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def bridge(
    name: str,
    physical: str,
    network: SessionNetwork,
    labels: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    *,
    internal: bool = False,
    options: Mapping[str, str] | None = None,
) -> docker.Network:
    """A bridge network on these addresses, IPv4 alone."""
    hostless = options == ISOLATED
    return docker.Network(
        name,
        name=physical,
        driver="bridge",
        internal=internal,
        ipv6=False,
        options=dict(options or {}),
        ipam_configs=[
            docker.NetworkIpamConfigArgs(subnet=str(network.subnet), gateway=None if hostless else str(network.bridge))
        ],
        labels=[docker.NetworkLabelArgs(label=key, value=value) for key, value in sorted(labels.items())],
        opts=opts,
    )


def volume(name: str, physical: str, labels: Mapping[str, str], opts: pulumi.ResourceOptions) -> docker.Volume:
    """A named volume of the engine's own."""
    return docker.Volume(
        name,
        name=physical,
        labels=[docker.VolumeLabelArgs(label=key, value=value) for key, value in sorted(labels.items())],
        opts=opts,
    )


def container(
    name: str,
    plan: ContainerPlan,
    image: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    joins: docker.Container | None = None,
    networks: Sequence[docker.Network] = (),
    volumes: Mapping[str, docker.Volume] | None = None,
    **further: Any,
) -> docker.Container:
    """The container of `plan`.

    Args:
        name: Logical name.
        plan: What it is.
        image: Id of the image: by a name, each refresh would find another image than the declared one.
        opts: Its options.
        joins: The container whose network namespace it is in. By id: once that is another, so must this be.
        networks: Those of the plan, in its order.
        volumes: Those of the plan that are the stack's own, by name.
        further: Arguments beyond the plan.
    """
    volumes = volumes or {}
    return docker.Container(
        name,
        name=plan.name or None,
        image=image,
        user=plan.user,
        entrypoints=list(plan.entrypoint) or None,
        command=list(plan.command) or None,
        envs=[f"{key}={value}" for key, value in sorted(plan.environment.items())],
        labels=[docker.ContainerLabelArgs(label=key, value=value) for key, value in sorted(plan.labels.items())],
        memory=plan.memory_bytes // MIB,
        memory_swap=plan.memory_bytes // MIB,
        cpus=f"{plan.cpus:g}",
        ulimits=[docker.ContainerUlimitArgs(name=name, soft=most, hard=most) for name, most in plan.ulimits.items()]
        or None,
        read_only=plan.read_only,
        capabilities=docker.ContainerCapabilitiesArgs(adds=list(plan.cap_add), drops=list(plan.cap_drop)),
        security_opts=list(plan.security_opt),
        privileged=False,
        tmpfs=dict(plan.tmpfs) or None,
        mounts=[
            docker.ContainerMountArgs(
                type=one.kind,
                # By reference: a volume that is replaced goes after the containers that use it.
                source=volumes[one.source].name if one.source in volumes else one.source,
                target=one.target,
                read_only=one.read_only,
            )
            for one in plan.mounts
        ],
        network_mode=pulumi.Output.concat("container:", joins.id) if joins else plan.network_mode,
        networks_advanced=[
            _attached(network, plan_of) for network, plan_of in zip(networks, plan.networks, strict=True)
        ]
        or None,
        ports=[
            docker.ContainerPortArgs(internal=port, external=port, ip=LOOPBACK, protocol="tcp") for port in plan.ports
        ]
        or None,
        dns=[str(address) for address in plan.dns] or None,
        init=plan.init,
        runtime=plan.runtime,
        restart=plan.restart,
        stop_timeout=plan.stop_seconds,
        destroy_grace_seconds=plan.stop_seconds,
        log_driver=LOG_DRIVER,
        log_opts=LOG_OPTIONS,
        **_health(plan.check),
        **further,
        opts=opts,
    )


def _attached(network: docker.Network, plan: Attachment) -> docker.ContainerNetworksAdvancedArgs:
    return docker.ContainerNetworksAdvancedArgs(name=network.id, ipv4_address=str(plan.address))


def _health(check: Check | None) -> dict[str, Any]:
    if check is None:
        return {}
    tested = docker.ContainerHealthcheckArgs(
        tests=["CMD", *check.command],
        interval=f"{check.interval}s",
        timeout=f"{check.timeout}s",
        start_period=f"{check.start}s",
        retries=check.retries,
    )
    return {"healthcheck": tested, "wait": True, "wait_timeout": HEALTHY_SECONDS}
