"""Cases of the rules that hold a container on a Docker host away from the host."""

from policies.docker_host import CONTAINER, NETWORK, VOLUME
from tests.policies.docker_objects import (
    FENCE,
    FORWARDER,
    GATEWAY,
    LABELS,
    OF_FENCE,
    OF_SESSION,
    ONE_AGENT,
    PAIR,
    SESSION,
    STATE_VOLUME,
    WRITER,
    Change,
    Object,
    case,
    cases,
    labels,
)
from tests.policies.judging import UNKNOWN

# Put together here, so that no scanner of this repository takes it for real.
KEY_ID = "AKIA" + "ABCDEFGHIJKLMNOP"
NO_NEW = "no-new-privileges=true"
READ_ONLY = {"hostPath": "/srv/x", "containerPath": "/x", "readOnly": True}

CONTAINERS: dict[str, dict[str, Change]] = {
    "docker-not-privileged": {
        "session": (SESSION | {"privileged": True}, ("privileged",)),
        "fence": (FENCE | {"privileged": True}, ("privileged",)),
    },
    "docker-own-namespaces": {
        "host's processes": (SESSION | {"pidMode": "host"}, ("pidMode is the host's",)),
        "host's IPC": (SESSION | {"ipcMode": "host"}, ("ipcMode is the host's",)),
        "host's users": (SESSION | {"usernsMode": "host"}, ("usernsMode is the host's",)),
        "host's cgroups": (SESSION | {"cgroupnsMode": "host"}, ("cgroupnsMode is the host's",)),
        "another's processes": (SESSION | {"pidMode": "container:fence"}, ("pidMode is another container's",)),
        "another's memory": (SESSION | {"ipcMode": "container:gateway"}, ("ipcMode is another container's",)),
        "a mode of tomorrow": (SESSION | {"pidMode": "machine"}, ("pidMode is 'machine'",)),
    },
    "docker-no-host-paths": {
        **{
            f"bind of {path}": (
                GATEWAY | {"mounts": [{"type": "bind", "source": path, "target": "/x", "readOnly": True}]},
                ("mounts[0].source is",),
            )
            for path in (
                "/",
                "//",
                "/etc",
                "/etc/",
                "/etc/shadow",
                "/srv/../etc/passwd",
                "/etc/agentenv",
                "/etc/agentenv/../shadow",
                "/proc",
                "/sys/fs/cgroup",
                "/dev/mem",
                "/var",
                "/run",
                "/var/run",
                "/var/run/docker.sock",
                "//var//run/docker.sock",
                "/run/docker.sock",
                "/run/containerd/containerd.sock",
                "/run/podman/podman.sock",
                "/run/user/1000",
                "/srv/engine/docker.sock",
                "/var/lib/docker/volumes/x",
                "/var/lib/containerd",
                "/var/lib/containers",
                "/run/containerd",
                "/run/crio",
                "/run/docker",
                "/run/podman",
                "/run/engine.socket",
                "/boot",
                "/root/.ssh",
            )
        },
        "by volumes": (
            GATEWAY | {"volumes": [{"hostPath": "/var/run/docker.sock", "containerPath": "/x", "readOnly": True}]},
            ("volumes[0].hostPath",),
        ),
        "as a volume's name": (
            GATEWAY | {"volumes": [{"volumeName": "/etc", "containerPath": "/x", "readOnly": True}]},
            ("volumes[0].volumeName",),
        ),
        "another's volumes": (GATEWAY | {"volumes": [{"fromContainer": "x"}]}, ("volumes[0].fromContainer",)),
        "by a driver's option": (
            GATEWAY | {"mounts": [{"type": "volume", "volumeOptions": {"driverOptions": {"device": "/proc"}}}]},
            ("mounts[0].volumeOptions.driverOptions.device",),
        ),
    },
    "docker-host-files-read-only": {
        "mount": (
            GATEWAY | {"mounts": [{"type": "bind", "source": "/srv/x", "target": "/x"}]},
            ("mounts[0].readOnly is not true",),
        ),
        "volumes": (
            GATEWAY | {"volumes": [{"hostPath": "/srv/x", "containerPath": "/x", "readOnly": False}]},
            ("volumes[0].readOnly is not true",),
        ),
        "volume's name": (
            GATEWAY | {"volumes": [{"volumeName": "/srv/x", "containerPath": "/x"}]},
            ("volumes[0].readOnly is not true",),
        ),
        "propagation": (
            GATEWAY
            | {
                "mounts": [
                    {"type": "bind", "source": "/srv", "readOnly": True, "bindOptions": {"propagation": "rshared"}}
                ]
            },
            ("mounts[0].bindOptions.propagation is 'rshared'",),
        ),
        "driver's option": (
            GATEWAY | {"mounts": [{"type": "volume", "volumeOptions": {"driverOptions": {"device": "/srv"}}}]},
            ("mounts[0].volumeOptions.driverOptions.device",),
        ),
    },
    "docker-no-capabilities": {
        "silent": (SESSION | {"capabilities": None}, ("capabilities.drops",)),
        "some": (SESSION | {"capabilities": {"drops": ["NET_RAW"]}}, ("capabilities.drops",)),
        "session adds": (
            SESSION | {"capabilities": {"drops": ["ALL"], "adds": ["NET_ADMIN"]}},
            ("capabilities.adds holds ['NET_ADMIN']",),
        ),
        "gateway adds": (
            GATEWAY | {"capabilities": {"drops": ["ALL"], "adds": ["SETUID"]}},
            ("capabilities.adds holds ['SETUID']",),
        ),
        "one agent adds": (PAIR | {"envs": [ONE_AGENT]}, ("capabilities.adds holds ['SETGID', 'SETUID']",)),
        "several agents add more": (
            PAIR | {"capabilities": {"drops": ["ALL"], "adds": ["SETUID", "CHOWN"]}},
            ("capabilities.adds holds ['CHOWN']",),
        ),
        "several agents drop less": (PAIR | {"capabilities": {"adds": ["SETUID"]}}, ("capabilities.drops",)),
        "several agents, of no role": (PAIR | {"labels": labels(LABELS)}, ("capabilities.adds",)),
        "several agents beside another program": (PAIR | {"command": ["sh", "-c", "id"]}, ("capabilities.adds",)),
        "fence adds more": (
            FENCE | {"capabilities": {"drops": ["ALL"], "adds": ["NET_ADMIN", "cap_sys_admin"]}},
            ("capabilities.adds holds ['SYS_ADMIN']",),
        ),
        "fence adds all": (FENCE | {"capabilities": {"drops": ["ALL"], "adds": ["ALL"]}}, ("capabilities.adds",)),
        "fence in another's namespace": (
            FENCE | {"networkMode": "container:fence"},
            ("capabilities.adds holds ['NET_ADMIN', 'SETGID', 'SETUID']",),
        ),
        "no role": (
            FENCE | {"labels": labels(LABELS)},
            ("capabilities.adds",),
        ),
        "two roles": (
            FENCE | {"labels": [*labels(OF_FENCE), {"label": "agentenv.role", "value": "session"}]},
            ("capabilities.adds",),
        ),
    },
    "docker-not-root": {
        "missing": (SESSION | {"user": None}, ("user is missing",)),
        "by name": (SESSION | {"user": "root:agents"}, ("user is",)),
        "by number": (GATEWAY | {"user": "00"}, ("user is",)),
        "forwarder": (FORWARDER | {"user": "0"}, ("user is",)),
        "one agent": (PAIR | {"envs": [ONE_AGENT]}, ("user is '0:10001'",)),
        "one agent and several": (PAIR | {"envs": [*PAIR["envs"], ONE_AGENT]}, ("user is '0:10001'",)),
        "agents that nobody declares": (PAIR | {"envs": ["AGENTENV_SESSION=nonsense"]}, ("user is '0:10001'",)),
        "several agents behind a command": (
            PAIR | {"command": [*PAIR["command"], "exec", "--", "id"]},
            ("user is '0:10001'",),
        ),
        "several agents, left to the image": (PAIR | {"user": None}, ("user is missing",)),
        "several agents, of no user": (PAIR | {"user": ""}, ("user is ''",)),
        "group": (SESSION | {"groupAdds": ["10001", "0"]}, ("groupAdds holds ['0']",)),
        "engine's group": (FENCE | {"groupAdds": ["docker"]}, ("groupAdds",)),
    },
    "docker-read-only-root": {
        "missing": (SESSION | {"readOnly": None}, ("readOnly",)),
        "false": (FENCE | {"readOnly": False}, ("readOnly",)),
        "upload on a network": (WRITER | {"networkMode": "container:anchor"}, ("readOnly",)),
        "no network, no upload": (WRITER | {"uploads": []}, ("readOnly",)),
        "a session's upload": (WRITER | {"labels": labels(OF_SESSION)}, ("readOnly",)),
    },
    "docker-security-options": {
        "silent": (SESSION | {"securityOpts": None}, ("securityOpts does not hold no-new-privileges",)),
        "off": (
            SESSION | {"securityOpts": ["no-new-privileges:false"]},
            ("securityOpts[0] is 'no-new-privileges:false'", "securityOpts does not hold"),
        ),
        **{
            option: (SESSION | {"securityOpts": ["no-new-privileges:true", option]}, ("securityOpts[1] is",))
            for option in (
                "seccomp=unconfined",
                "seccomp:unconfined",
                'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}',
                "apparmor=unconfined",
                "apparmor:unconfined",
                "systempaths=unconfined",
                "label=disable",
            )
        },
    },
    "docker-no-devices": {
        "device": (SESSION | {"devices": [{"hostPath": "/dev/kvm"}]}, ("devices",)),
        "request": (SESSION | {"deviceRequests": [{"driver": "cdi"}]}, ("deviceRequests",)),
        "class": (SESSION | {"deviceCgroupRules": ["c 1:* rwm"]}, ("deviceCgroupRules",)),
        "GPU": (SESSION | {"gpus": "all"}, ("gpus",)),
    },
    "docker-limits": {
        "none": (
            SESSION | {"memory": None, "memorySwap": None, "cpus": None, "ulimits": None},
            ("memory is missing", "memorySwap is missing", "cpus is missing", "ulimits holds no nproc"),
        ),
        "unlimited": (
            GATEWAY | {"memory": 0.0, "memorySwap": -1.0, "cpus": "0"},
            ("memory is 0", "memorySwap is -1", "cpus is '0'"),
        ),
        "other ulimit": (SESSION | {"ulimits": [{"name": "nofile", "soft": 9.0, "hard": 9.0}]}, ("ulimits",)),
        "no limit of processes": (SESSION | {"ulimits": [{"name": "nproc", "soft": -1.0, "hard": -1.0}]}, ("ulimits",)),
        "no hard limit": (SESSION | {"ulimits": [{"name": "nproc", "soft": 9.0, "hard": -1.0}]}, ("ulimits",)),
        "no soft limit": (SESSION | {"ulimits": [{"name": "nproc", "soft": -1.0, "hard": 9.0}]}, ("ulimits",)),
        "no role": (GATEWAY | {"labels": None}, ("ulimits",)),
        "without end": (SESSION | {"cpus": "inf"}, ("cpus",)),
        "no number": (SESSION | {"cpus": "nan"}, ("cpus",)),
    },
    "docker-image-pinned": {
        "missing": (SESSION | {"image": None}, ("image is '',",)),
        "no tag": (SESSION | {"image": "debian"}, ("image is 'debian'",)),
        "latest": (SESSION | {"image": "agentenv-e:latest"}, ("image",)),
        "short hash": (SESSION | {"image": "agentenv-e:0a0a0a0a"}, ("image",)),
        "hash as a name": (SESSION | {"image": "0a" * 16}, ("image",)),
        "short digest": (SESSION | {"image": "agentenv-e@sha256:0a0a"}, ("image",)),
    },
    "docker-logs-kept": {
        "none": (SESSION | {"logDriver": "none"}, ("logDriver",)),
        "without end": (SESSION | {"logOpts": {"max-file": "3"}}, ("logOpts[max-size]",)),
        "by default": (SESSION | {"logDriver": None, "logOpts": None}, ("logOpts[max-size]",)),
    },
    "no-secret-in-plain-text": {
        "variable": (SESSION | {"envs": ["A=b", "GREETING=" + KEY_ID]}, ("envs[1] holds an AWS",)),
        "upload": (
            WRITER | {"uploads": [{"content": "sk-ant-" + "0123456789abcdefgh"}]},
            ("uploads[0].content holds",),
        ),
        "command": (SESSION | {"command": ["run", "--key", KEY_ID]}, ("command[2] holds",)),
        "entrypoint": (GATEWAY | {"entrypoints": [KEY_ID]}, ("entrypoints[0] holds",)),
        "health check": (GATEWAY | {"healthcheck": {"tests": [KEY_ID]}}, ("healthcheck.tests",)),
        "log driver": (SESSION | {"logOpts": {"splunk-token": KEY_ID}}, ("logOpts.splunk",)),
        "label": (SESSION | {"labels": labels({"note": KEY_ID})}, ("labels[0].value holds",)),
    },
    "container-environment-no-secret": {
        "by name": (SESSION | {"envs": ["A=b", "DB_PASSWORD=hunter2"]}, ("envs[1] 'DB_PASSWORD' holds",)),
    },
}

OTHERS: dict[str, dict[str, Object]] = {
    "docker-no-host-paths": {
        "volume of a path": (
            VOLUME,
            STATE_VOLUME | {"driverOpts": {"type": "none", "o": "bind", "device": "/etc"}},
            ("driverOpts.device is '/etc'",),
        ),
    },
    "docker-host-files-read-only": {
        "volume of a path": (VOLUME, STATE_VOLUME | {"driverOpts": {"device": "/srv"}}, ("driverOpts.device",)),
    },
    "no-secret-in-plain-text": {
        "network": (NETWORK, {"options": {"note": KEY_ID}}, ("options.note holds",)),
        "network's label": (NETWORK, {"labels": labels({"n": KEY_ID})}, ("labels[0].value holds",)),
        "volume": (VOLUME, {"driverOpts": {"o": "password=" + KEY_ID}}, ("driverOpts.o holds",)),
        "volume's label": (VOLUME, {"labels": labels({"note": KEY_ID})}, ("labels[0].value holds",)),
    },
    "docker-no-service-no-plugin": {
        "service": ("docker:index/service:Service", {"name": "x"}, ("it runs on the host",)),
        "plugin": ("docker:index/plugin:Plugin", {"name": "x"}, ("it runs on the host",)),
    },
}

UNKNOWNS: dict[str, list[Object]] = {
    "docker-not-privileged": [(CONTAINER, SESSION | {"privileged": UNKNOWN}, ())],
    "docker-own-namespaces": [
        (CONTAINER, SESSION | {"pidMode": UNKNOWN, "ipcMode": "host"}, ("ipcMode",)),
    ],
    "docker-no-host-paths": [
        (
            CONTAINER,
            SESSION | {"mounts": [UNKNOWN, {"source": "/", "readOnly": True}]},
            ("mounts[1].source",),
        ),
        (
            CONTAINER,
            GATEWAY
            | {
                "mounts": [{"source": UNKNOWN, "volumeOptions": {"driverOptions": {"device": "/"}}}],
                "volumes": [{"hostPath": UNKNOWN, "volumeName": "/etc"}, {"fromContainer": UNKNOWN}, {"hostPath": "/"}],
            },
            ("mounts[0].volumeOptions.driverOptions.device", "volumes[0].volumeName", "volumes[2].hostPath"),
        ),
        (VOLUME, STATE_VOLUME | {"driverOpts": UNKNOWN}, ()),
    ],
    "docker-host-files-read-only": [
        (
            CONTAINER,
            SESSION | {"mounts": [{"type": UNKNOWN}, {"type": "bind", "source": "/srv"}]},
            ("mounts[1].readOnly",),
        ),
        (
            CONTAINER,
            GATEWAY | {"volumes": [{"hostPath": UNKNOWN}, {"hostPath": "/srv"}]},
            ("volumes[1].readOnly",),
        ),
    ],
    "docker-no-capabilities": [
        (
            CONTAINER,
            FENCE | {"labels": UNKNOWN, "capabilities": {"adds": ["NET_ADMIN"]}},
            ("capabilities.drops",),
        ),
        (CONTAINER, SESSION | {"capabilities": {"drops": UNKNOWN, "adds": ["SETUID"]}}, ("capabilities.adds",)),
    ],
    "docker-not-root": [
        (CONTAINER, SESSION | {"user": UNKNOWN, "groupAdds": ["root"]}, ("groupAdds",)),
        (CONTAINER, PAIR | {"envs": UNKNOWN, "groupAdds": ["root"]}, ("groupAdds",)),
    ],
    "docker-read-only-root": [(CONTAINER, SESSION | {"readOnly": UNKNOWN}, ())],
    "docker-security-options": [
        (
            CONTAINER,
            SESSION | {"securityOpts": [UNKNOWN, "seccomp=unconfined"]},
            ("securityOpts[1]",),
        ),
    ],
    "docker-no-devices": [(CONTAINER, SESSION | {"devices": UNKNOWN, "gpus": "all"}, ("gpus",))],
    "docker-limits": [
        (CONTAINER, SESSION | {"memory": UNKNOWN, "cpus": None}, ("cpus",)),
        (CONTAINER, SESSION | {"ulimits": UNKNOWN}, ()),
    ],
    "docker-image-pinned": [(CONTAINER, SESSION | {"image": UNKNOWN}, ())],
    "docker-logs-kept": [(CONTAINER, SESSION | {"logOpts": UNKNOWN}, ())],
    "no-secret-in-plain-text": [
        (
            CONTAINER,
            SESSION | {"envs": [UNKNOWN, "A=" + KEY_ID]},
            ("envs[1]",),
        )
    ],
    "container-environment-no-secret": [
        (CONTAINER, SESSION | {"envs": [UNKNOWN, "API_KEY=x"]}, ("envs[1] 'API_KEY'",))
    ],
}

KINDS = {
    "docker-no-host-paths": (CONTAINER, VOLUME),
    "docker-host-files-read-only": (CONTAINER, VOLUME),
    "no-secret-in-plain-text": (CONTAINER, NETWORK, VOLUME),
    "docker-no-service-no-plugin": (),
}

CASES = [
    *cases(KINDS, CONTAINERS, OTHERS, UNKNOWNS),
    case("docker-image-pinned", "compliant", "digest", CONTAINER, {"image": "r.example/a@sha256:" + "0a" * 32}),
    case("docker-image-pinned", "compliant", "id", CONTAINER, {"image": "sha256:" + "0a" * 32}),
    case("docker-security-options", "compliant", "stated", CONTAINER, {"securityOpts": [NO_NEW, "seccomp=builtin"]}),
    *(
        case(
            "docker-host-files-read-only",
            "compliant",
            way,
            CONTAINER,
            {"mounts": [{"type": "bind", "source": "/srv", "readOnly": True, "bindOptions": {"propagation": way}}]},
        )
        for way in ("private", "rprivate", "slave", "rslave")
    ),
    case("docker-host-files-read-only", "compliant", "volumes", CONTAINER, {"volumes": [READ_ONLY]}),
    case("docker-logs-kept", "compliant", "rotating driver", CONTAINER, {"logDriver": "local"}),
    case("docker-no-host-paths", "compliant", "other host path", CONTAINER, {"mounts": [{"source": "/srv/x"}]}),
    case("docker-no-host-paths", "compliant", "run-time secret", CONTAINER, {"mounts": [{"source": "/run/secrets/x"}]}),
    case("docker-host-files-read-only", "compliant", "file server", VOLUME, {"driverOpts": {"device": ":/export"}}),
    case("container-environment-no-secret", "compliant", "empty", CONTAINER, {"envs": ["API_KEY=", "API_KEY"]}),
    case("docker-own-namespaces", "compliant", "its own", CONTAINER, {"ipcMode": "private", "cgroupnsMode": "private"}),
    case("docker-own-namespaces", "compliant", "none", CONTAINER, {"ipcMode": "none"}),
    case("docker-own-namespaces", "compliant", "for others to join", CONTAINER, {"ipcMode": "shareable"}),
]
