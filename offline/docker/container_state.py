"""What the engine reports of a container, in the words of the provider's inputs and outputs."""

from decimal import Decimal
from typing import Any

from offline.docker import labels
from offline.docker.duration import written
from offline.docker.kind import Props

_MEGABYTE = 1024 * 1024


def observed(found: dict[str, Any]) -> Props:
    """Returns what the real provider reads of a container.

    It reads neither environment variables and labels, which the image adds to, nor volumes, uploads and the
    networks that were asked for.

    Args:
        found: the engine's answer to an inspection.
    """
    config, host, state = found["Config"], found["HostConfig"], found["State"]
    network = found["NetworkSettings"]
    swap = host["MemorySwap"]
    properties = {
        "name": found["Name"].lstrip("/"),
        "image": found["Image"],
        "hostname": config["Hostname"],
        "domainname": config["Domainname"],
        "command": config["Cmd"],
        "entrypoints": config["Entrypoint"],
        "user": config["User"],
        "workingDir": config["WorkingDir"],
        "tty": config["Tty"],
        "stdinOpen": config["OpenStdin"],
        "stopSignal": config.get("StopSignal"),
        "stopTimeout": config.get("StopTimeout"),
        "healthcheck": _healthcheck(config.get("Healthcheck")),
        "rm": host["AutoRemove"],
        "readOnly": host["ReadonlyRootfs"],
        "dns": host["Dns"],
        "dnsOpts": host["DnsOptions"],
        "dnsSearches": host["DnsSearch"],
        "securityOpts": host["SecurityOpt"],
        "publishAllPorts": host["PublishAllPorts"],
        "restart": host["RestartPolicy"]["Name"] or "no",
        "maxRetryCount": host["RestartPolicy"]["MaximumRetryCount"],
        "init": bool(host.get("Init")),
        "capabilities": {key: host[own] for key, own in (("adds", "CapAdd"), ("drops", "CapDrop")) if host[own]},
        "runtime": host["Runtime"],
        "mounts": [_mount(entry) for entry in host.get("Mounts") or []],
        "tmpfs": host.get("Tmpfs"),
        "hosts": [_host(entry) for entry in host["ExtraHosts"] or []],
        "ulimits": [{"name": e["Name"], "soft": e["Soft"], "hard": e["Hard"]} for e in host["Ulimits"] or []],
        "privileged": host["Privileged"],
        "memory": host["Memory"] // _MEGABYTE,
        "memorySwap": swap // _MEGABYTE if swap > 0 else swap,
        "shmSize": host["ShmSize"] // _MEGABYTE,
        "cpuShares": host["CpuShares"],
        "cpuSet": host["CpusetCpus"],
        "cpuPeriod": host["CpuPeriod"],
        "cpuQuota": host["CpuQuota"],
        "cpus": format((Decimal(host["NanoCpus"]) / 10**9).normalize(), "f") if host["NanoCpus"] else "",
        "logDriver": host["LogConfig"]["Type"],
        "logOpts": host["LogConfig"]["Config"],
        "networkMode": host["NetworkMode"],
        "pidMode": host["PidMode"],
        "usernsMode": host["UsernsMode"],
        "ipcMode": host["IpcMode"],
        "cgroupnsMode": host.get("CgroupnsMode"),
        "sysctls": host.get("Sysctls"),
        "groupAdds": host["GroupAdd"],
        "ports": _ports(network.get("Ports") or {}),
        "bridge": network.get("Bridge", ""),
        "networkDatas": [_network(name, data) for name, data in sorted((network["Networks"] or {}).items())],
    }
    # The engine has none of a container that has not ended, and the real provider then tells none.
    return properties if state["Running"] else {**properties, "exitCode": state["ExitCode"]}


def _mount(entry: dict[str, Any]) -> dict[str, Any]:
    mount = {
        "type": entry["Type"],
        "target": entry["Target"],
        "source": entry.get("Source", ""),
        "readOnly": entry.get("ReadOnly", False),
    }
    if bind := entry.get("BindOptions"):
        mount["bindOptions"] = {"propagation": bind.get("Propagation", "")}
    if volume := entry.get("VolumeOptions"):
        driver = volume.get("DriverConfig") or {}
        mount["volumeOptions"] = {
            "noCopy": volume.get("NoCopy", False),
            "labels": labels.to_list(volume.get("Labels")),
            "driverName": driver.get("Name", ""),
            "driverOptions": driver.get("Options") or {},
            "subpath": volume.get("Subpath", ""),
        }
    if tmpfs := entry.get("TmpfsOptions"):
        mount["tmpfsOptions"] = {"sizeBytes": tmpfs.get("SizeBytes", 0), "mode": tmpfs.get("Mode", 0)}
    return mount


def _host(entry: str) -> dict[str, str]:
    host, _, address = entry.partition(":")
    return {"host": host, "ip": address}


def _ports(ports: dict[str, list[dict[str, str]] | None]) -> list[dict[str, Any]]:
    entries = []
    for name, bindings in sorted(ports.items()):
        internal, _, protocol = name.partition("/")
        entries += [
            {
                "internal": int(internal),
                "external": int(binding["HostPort"] or 0),
                "ip": binding["HostIp"],
                "protocol": protocol,
            }
            for binding in bindings or []
        ]
    return entries


def _network(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "networkName": name,
        "ipAddress": data["IPAddress"],
        "ipPrefixLength": data["IPPrefixLen"],
        "gateway": data["Gateway"],
        "globalIpv6Address": data["GlobalIPv6Address"],
        "globalIpv6PrefixLength": data["GlobalIPv6PrefixLen"],
        "ipv6Gateway": data["IPv6Gateway"],
        "macAddress": data["MacAddress"],
    }


def _healthcheck(check: dict[str, Any] | None) -> dict[str, Any] | None:
    if not check:
        return None
    return {
        "tests": check.get("Test") or [],
        "interval": written(check.get("Interval", 0)),
        "timeout": written(check.get("Timeout", 0)),
        "startPeriod": written(check.get("StartPeriod", 0)),
        "startInterval": written(check.get("StartInterval", 0)),
        "retries": check.get("Retries", 0),
    }
