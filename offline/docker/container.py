"""`docker.Container`: made, started, waited for, updated and removed as the real provider does it."""

import contextlib
from decimal import Decimal
from typing import Any

from offline.docker import container_rules
from offline.docker.container_config import engine_config, resources
from offline.docker.container_state import observed
from offline.docker.engine import Engine, EngineError
from offline.docker.kind import Kind, Props
from offline.docker.remote_image import find
from offline.docker.uploads import archive

# What an engine that is too old for it would leave out without a word: path, and the API version that has it.
_NEWER = (("healthcheck.startInterval", "1.44"), ("mounts.volumeOptions.subpath", "1.45"))
# How long a container that cannot run has to end before it counts as started.
_START_SECONDS = 0.25


def _create(engine: Engine, inputs: Props) -> tuple[str, Props]:
    for path, version in _NEWER:
        if _has(inputs, path):
            engine.needs_api(version, path)
    find(engine, inputs["image"])
    with engine.told("unable to create container"):
        made = engine.api.create_container_from_config(engine_config(inputs), inputs["name"])
    container = str(made["Id"])
    try:
        _connect(engine, container, inputs)
        if inputs.get("uploads"):
            with engine.told("unable to upload files"):
                engine.api.put_archive(container, "/", archive(inputs["uploads"]))
        if inputs.get("start") is not False:
            with engine.told("unable to start container"):
                engine.api.start(container)
        logs = _await(engine, container, inputs)
        return container, {**observed(_inspect(engine, container)), **logs}
    except BaseException:
        # A second attempt would find the name taken, and the program would know nothing of what is left.
        with contextlib.suppress(EngineError):
            _remove(engine, container, {**inputs, "attach": True})
        raise


def _read(engine: Engine, container: str, state: Props) -> Props | None:
    from docker.errors import NotFound

    with engine.told(f"unable to read container {container[:12]}"):
        try:
            found = engine.api.inspect_container(container)
        except NotFound:
            return None
    if not found["State"]["Running"] and state.get("mustRun") is not False:
        # As the real provider does: a stopped container is no container, and a new one takes its name.
        _remove(engine, container, state)
        return None
    return observed(found)


def _update(engine: Engine, container: str, inputs: Props) -> None:
    limits = resources(inputs)
    with engine.told(f"unable to update container {container[:12]}"):
        engine.api.update_container(
            container,
            cpu_shares=inputs.get("cpuShares"),
            cpuset_cpus=inputs.get("cpuSet"),
            mem_limit=limits["Memory"],
            memswap_limit=limits["MemorySwap"] or None,
            restart_policy={"Name": inputs["restart"], "MaximumRetryCount": inputs.get("maxRetryCount") or 0},
        )


def _remove(engine: Engine, container: str, state: Props) -> None:
    from docker.errors import NotFound

    with engine.told(f"unable to delete container {container[:12]}"), contextlib.suppress(NotFound):
        if not state.get("attach"):
            # Without grace seconds it is killed at once, whatever its own stop timeout is.
            engine.api.stop(container, timeout=state.get("destroyGraceSeconds") or 0)
        engine.remove(
            f"container {container[:12]}",
            lambda: engine.api.remove_container(container, v=state.get("removeVolumes") is not False, force=True),
            busy="is already in progress",
        )


def _connect(engine: Engine, container: str, inputs: Props) -> None:
    """Takes the container off the default network and puts it on those of `networksAdvanced`."""
    from docker.errors import APIError

    networks = inputs.get("networksAdvanced") or []
    if networks:
        with engine.told("unable to disconnect the default network"):
            try:
                engine.api.disconnect_container_from_network(container, "bridge")
            except APIError as error:
                if "is not connected to" not in str(error.explanation):
                    raise
    for network in networks:
        with engine.told(f"unable to connect to network {network['name']!r}"):
            engine.api.connect_container_to_network(
                container,
                network["name"],
                ipv4_address=network.get("ipv4Address"),
                ipv6_address=network.get("ipv6Address"),
                aliases=network.get("aliases"),
            )


def _await(engine: Engine, container: str, inputs: Props) -> Props:
    """Waits as long as the inputs ask for; returns `containerLogs` if they ask for it."""
    must_run = inputs.get("mustRun") is not False
    if inputs.get("wait") and inputs.get("start") is not False:
        _await_health(engine, container, inputs.get("waitTimeout") or 60)
    if inputs.get("attach"):
        for _ in engine.polls(None):
            if not _inspect(engine, container)["State"]["Running"]:
                break
    else:
        engine.pause(_START_SECONDS)
    state = _inspect(engine, container)["State"]
    if must_run and not state["Running"]:
        if inputs.get("start") is False:
            raise EngineError("container failed to be in running state: start is false; set mustRun to false as well")
        words = _last_line(engine, container)
        raise EngineError(f"container exited immediately with exit code {state['ExitCode']}{words}")
    if inputs.get("attach") and inputs.get("logs"):
        return {"containerLogs": _logs(engine, container)}
    return {}


def _await_health(engine: Engine, container: str, seconds: float) -> None:
    status = ""
    for _ in engine.polls(seconds):
        state = _inspect(engine, container)["State"]
        if "Health" not in state:
            raise EngineError("wait is true, but neither the container nor its image has a health check")
        if state["Status"] == "exited":
            return
        status = state["Health"]["Status"]
        if status == "healthy":
            return
    raise EngineError(f"container failed to be in healthy state within {seconds:.0f} s: it is {status}")


def _inspect(engine: Engine, container: str) -> dict[str, Any]:
    with engine.told(f"unable to inspect container {container[:12]}"):
        return dict(engine.api.inspect_container(container))


def _logs(engine: Engine, container: str, tail: int | str = "all") -> str:
    with engine.told("unable to read the logs"):
        return bytes(engine.api.logs(container, tail=tail)).decode(errors="replace")


def _last_line(engine: Engine, container: str) -> str:
    """Returns the end of what the container had to say, or nothing where it cannot be read."""
    with contextlib.suppress(EngineError):
        line = _logs(engine, container, tail=1).strip()
        return f": {line}" if line else ""
    return ""


def _has(value: Any, path: str) -> bool:
    """Returns whether a value is given at a dotted path, in any entry of the lists on the way."""
    if isinstance(value, list):
        return any(_has(item, path) for item in value)
    key, _, rest = path.partition(".")
    inner = value.get(key) if isinstance(value, dict) else None
    return _has(inner, rest) if rest else bool(inner)


def _same_ports(present: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """A port that the program leaves to the engine is the same whichever one it is."""

    def key(entry: dict[str, Any], *, free: bool) -> tuple[Any, ...]:
        external = 0 if free else entry.get("external") or 0
        return entry["internal"], entry.get("protocol") or "tcp", entry.get("ip") or "0.0.0.0", external

    left = list(present)
    for entry in wanted:
        free = not entry.get("external")
        match = next((one for one in left if key(one, free=free) == key(entry, free=free)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same_capabilities(present: dict[str, list[str]], wanted: dict[str, list[str]]) -> bool:
    """`net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are one."""

    def normal(names: list[str] | None) -> set[str]:
        return {name.upper().removeprefix("CAP_") for name in names or []}

    return all(normal(present.get(key)) == normal(wanted.get(key)) for key in ("adds", "drops"))


CONTAINER = Kind(
    token="docker:index/container:Container",
    declaration=("container.py", "ContainerArgs"),
    create=_create,
    read=_read,
    update=_update,
    delete=_remove,
    rules=container_rules.failures,
    same={
        "ports": _same_ports,
        "capabilities": _same_capabilities,
        "cpus": lambda present, wanted: Decimal(present or 0) == Decimal(wanted or 0),
    },
    replacing=frozenset(
        {
            *("name", "image", "command", "entrypoints", "envs", "user", "workingDir", "labels", "readOnly"),
            *("hostname", "domainname", "hosts", "dns", "dnsOpts", "dnsSearches", "groupAdds", "tty", "stdinOpen"),
            *("networkMode", "networksAdvanced", "ports", "publishAllPorts", "mounts", "volumes", "uploads"),
            *("capabilities", "securityOpts", "privileged", "runtime", "sysctls", "ulimits", "shmSize", "cpus"),
            *("pidMode", "ipcMode", "usernsMode", "cgroupnsMode", "logDriver", "logOpts", "stopSignal", "stopTimeout"),
        }
    ),
    updating=frozenset({"restart", "maxRetryCount", "memory", "memorySwap", "cpuShares", "cpuSet"}),
    recorded=frozenset(
        {
            *("attach", "logs", "mustRun", "start", "wait", "waitTimeout", "destroyGraceSeconds", "removeVolumes"),
            "containerReadRefreshTimeoutMilliseconds",
        }
    ),
    computed=frozenset(
        {
            *("hostname", "command", "entrypoints", "envs", "labels", "user", "workingDir", "securityOpts", "runtime"),
            *("stopSignal", "stopTimeout", "shmSize", "logDriver", "healthcheck", "ipcMode", "init", "cgroupnsMode"),
        }
    ),
    outputs=frozenset({"bridge", "containerLogs", "exitCode", "networkDatas"}),
    defaults={
        "attach": False,
        "containerReadRefreshTimeoutMilliseconds": 15000,
        "logs": False,
        "mustRun": True,
        "networkMode": "bridge",
        "readOnly": False,
        "removeVolumes": True,
        "restart": "no",
        "rm": False,
        "start": True,
        "stdinOpen": False,
        "tty": False,
        "wait": False,
        "waitTimeout": 60,
    },
    ordered=frozenset({"command", "entrypoints", "healthcheck"}),
    refused=frozenset(
        {
            *("cgroupParent", "deviceCgroupRules", "deviceReadBps", "deviceReadIops", "deviceRequests"),
            *("deviceWriteBps", "deviceWriteIops", "devices", "gpus", "memoryReservation", "platform", "storageOpts"),
            *("networksAdvanced.driverOpts", "networksAdvanced.gwPriority", "networksAdvanced.linkLocalIps"),
            *("networksAdvanced.macAddress", "volumes.selinuxRelabel"),
        }
    ),
    delete_first=True,
)
