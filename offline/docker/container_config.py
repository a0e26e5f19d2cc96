"""A container's inputs in the words of the engine's API (`POST /containers/create`)."""

from decimal import Decimal
from typing import Any

from offline.docker import labels
from offline.docker.duration import nanoseconds
from offline.docker.kind import Props

_MEGABYTE = 1024 * 1024
# Inputs that the engine's host configuration takes as they are.
_HOST_AS_IS = {
    "Privileged": "privileged",
    "PublishAllPorts": "publishAllPorts",
    "AutoRemove": "rm",
    "ReadonlyRootfs": "readOnly",
    "Runtime": "runtime",
    "Tmpfs": "tmpfs",
    "Dns": "dns",
    "DnsOptions": "dnsOpts",
    "DnsSearch": "dnsSearches",
    "SecurityOpt": "securityOpts",
    "CpuShares": "cpuShares",
    "CpusetCpus": "cpuSet",
    "CpuPeriod": "cpuPeriod",
    "CpuQuota": "cpuQuota",
    "NetworkMode": "networkMode",
    "UsernsMode": "usernsMode",
    "PidMode": "pidMode",
    "IpcMode": "ipcMode",
    "CgroupnsMode": "cgroupnsMode",
    "Sysctls": "sysctls",
    "GroupAdd": "groupAdds",
}
_AS_IS = {
    "Image": "image",
    "Hostname": "hostname",
    "Domainname": "domainname",
    "Tty": "tty",
    "OpenStdin": "stdinOpen",
    "StopSignal": "stopSignal",
    "StopTimeout": "stopTimeout",
    "Env": "envs",
    "Cmd": "command",
    "Entrypoint": "entrypoints",
    "User": "user",
    "WorkingDir": "workingDir",
}


def engine_config(inputs: Props) -> dict[str, Any]:
    """Returns the body of the engine's call that creates a container.

    Args:
        inputs: checked inputs without unknowns.
    """
    ports = inputs.get("ports") or []
    volumes = [entry for entry in inputs.get("volumes") or [] if entry.get("containerPath")]
    return _present(
        {
            **{name: inputs.get(key) for name, key in _AS_IS.items()},
            "Labels": labels.to_map(inputs.get("labels")),
            "Healthcheck": _healthcheck(inputs.get("healthcheck")),
            "ExposedPorts": {_port(entry): {} for entry in ports},
            "Volumes": {entry["containerPath"]: {} for entry in volumes},
            "HostConfig": {
                **_present({**{name: inputs.get(key) for name, key in _HOST_AS_IS.items()}, **_host(inputs)}),
                # Always said, as the real provider does: else the engine's own setting would count.
                "Init": bool(inputs.get("init")),
            },
        }
    )


def resources(inputs: Props) -> dict[str, int]:
    """Returns the limits in bytes: `Memory` and `MemorySwap` (-1 for no limit), 0 for one not given."""
    swap = inputs.get("memorySwap") or 0
    return {
        "Memory": (inputs.get("memory") or 0) * _MEGABYTE,
        "MemorySwap": swap * _MEGABYTE if swap > 0 else swap,
    }


def _host(inputs: Props) -> dict[str, Any]:
    capabilities = inputs.get("capabilities") or {}
    return {
        **resources(inputs),
        "ShmSize": (inputs.get("shmSize") or 0) * _MEGABYTE,
        "NanoCpus": int(Decimal(inputs.get("cpus") or 0) * 10**9),
        "RestartPolicy": {
            "Name": inputs.get("restart") or "no",
            "MaximumRetryCount": inputs.get("maxRetryCount") or 0,
        },
        "LogConfig": _present({"Type": inputs.get("logDriver"), "Config": inputs.get("logOpts")}),
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "Mounts": [_mount(entry) for entry in inputs.get("mounts") or []],
        "Binds": _binds(inputs),
        "VolumesFrom": [e["fromContainer"] for e in inputs.get("volumes") or [] if e.get("fromContainer")],
        "PortBindings": _bindings(inputs),
        "ExtraHosts": [f"{entry['host']}:{entry['ip']}" for entry in inputs.get("hosts") or []],
        "Ulimits": [{"Name": e["name"], "Soft": e["soft"], "Hard": e["hard"]} for e in inputs.get("ulimits") or []],
    }


def _binds(inputs: Props) -> list[str]:
    return [
        f"{source}:{entry['containerPath']}:{'ro' if entry.get('readOnly') else 'rw'}"
        for entry in inputs.get("volumes") or []
        if (source := entry.get("volumeName") or entry.get("hostPath"))
    ]


def _bindings(inputs: Props) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for entry in inputs.get("ports") or []:
        # Port 0 is a free one of the engine's choice.
        binding = {"HostIp": entry.get("ip") or "0.0.0.0", "HostPort": str(entry.get("external") or 0)}
        bindings.setdefault(_port(entry), []).append(binding)
    return bindings


def _port(entry: dict[str, Any]) -> str:
    return f"{entry['internal']}/{entry.get('protocol') or 'tcp'}"


def _mount(entry: dict[str, Any]) -> dict[str, Any]:
    mount = {
        "Type": entry["type"],
        "Target": entry["target"],
        "Source": entry.get("source"),
        "ReadOnly": entry.get("readOnly"),
    }
    # As the real provider does: options of another type of mount are left aside.
    if entry["type"] == "bind" and entry.get("bindOptions"):
        mount["BindOptions"] = _present({"Propagation": entry["bindOptions"].get("propagation")})
    if entry["type"] == "volume" and entry.get("volumeOptions"):
        options = entry["volumeOptions"]
        driver = {"Name": options.get("driverName"), "Options": options.get("driverOptions")}
        mount["VolumeOptions"] = _present(
            {
                "NoCopy": options.get("noCopy"),
                "Labels": labels.to_map(options.get("labels")),
                "DriverConfig": _present(driver),
                "Subpath": options.get("subpath"),
            }
        )
    if entry["type"] == "tmpfs" and entry.get("tmpfsOptions"):
        options = entry["tmpfsOptions"]
        mount["TmpfsOptions"] = _present({"SizeBytes": options.get("sizeBytes"), "Mode": options.get("mode")})
    return _present(mount)


def _healthcheck(check: dict[str, Any] | None) -> dict[str, Any] | None:
    if not check:
        return None
    spans = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "startPeriod"}
    spans["StartInterval"] = "startInterval"
    return _present(
        {
            "Test": check.get("tests"),
            "Retries": check.get("retries"),
            **{name: nanoseconds(check.get(key) or "0s") for name, key in spans.items()},
        }
    )


def _present(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values that say something; the engine takes what is left out for its default."""
    return {key: value for key, value in values.items() if value not in (None, "", False, 0, [], {})}
