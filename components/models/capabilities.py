"""Linux capabilities of the one kind of session that keeps any: several agents in one container.

Its supervisor starts each agent as a user of its own, which takes SETUID and SETGID; the agents have none.
"""

SUPERVISOR = ("SETGID", "SETUID")
"""What a supervised container keeps. On a Docker host everything is dropped and these are added."""

_DEFAULTS = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
# What an engine gives a container that asks for nothing (moby, oci/caps/defaults.go).

FARGATE_DROPPED = tuple(name for name in _DEFAULTS if name not in SUPERVISOR)
"""What a supervised container drops on Fargate, which cannot add a capability after ALL was dropped."""
