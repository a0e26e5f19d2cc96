"""Outputs of stacks, as the program exports them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.models.environment import DeclaredEnvironment
from components.models.errors import validate
from components.models.session import Session
from components.plans.egress import egress_policy, policy_hash

LIMITED = {
    "type": "limited",
    "allowed_hosts": ["api.partner.test", "*.wild.test"],
    "allow_mcp_servers": True,
    "allow_package_managers": True,
}
CRM: dict[str, Any] = {
    "name": "CRM",
    "source": "file:/etc/agentenv/crm",
    "inject": {"origin": "https://crm.partner.test", "header": "x-api-key", "paths": ["GET /customers/*"]},
}
DESK = {
    "name": "desk",
    "environment": "api-client",
    "pattern": "ephemeral",
    "agent": {"model": "m", "mcp_servers": [{"name": "crm", "url": "https://mcp.partner.test:8443/sse"}]},
    "secrets": [CRM],
}
CHAT = {
    "name": "chat",
    "environment": "api-client",
    "pattern": "long_running",
    "agent": {"model": "m"},
    "ports": [8080],
    "token_sha256": hashlib.sha256(b"a token").hexdigest(),
}
REGION = "eu-west-1"


def environment(
    runtime: str = "docker",
    networking: Mapping[str, Any] = LIMITED,
    sessions: Sequence[Mapping[str, Any]] = (DESK, CHAT),
    **fields: Any,
) -> dict[str, Any]:
    """One entry of the output `environments`."""
    declared = validate(
        DeclaredEnvironment,
        {"name": "api-client", "config": {"type": "cloud", "networking": dict(networking)}},
    )
    policy = egress_policy(declared, [validate(Session, dict(session)) for session in sessions]).to_json()
    common = {
        "runtime": runtime,
        "networking": networking["type"],
        "environment": declared.to_wire(),
        "egress_policy": policy,
        "policy_hash": policy_hash(policy),
        "archived": False,
        "hosted_notes": [],
    }
    own: dict[str, Any] = {
        "images": {"session": "session:1", "fence": "fence:1", "gateway": "gateway:1"},
        "gateway": {"container": "t-gateway", "anchor": "t-anchor", "port": 3128},
        "egress_network": "t-egress",
        "range": "10.200.0.0/13",
        "isolation": "runc",
        "resolvers": [],
        "host_addresses": ["198.51.100.7"],
        "labels": {
            "agentenv.stack": "t",
            "agentenv.team": "team",
            "agentenv.environment": "api-client",
            "agentenv.role": "session",
        },
    }
    if runtime == "fargate":
        own = {
            "cluster": "agents",
            "images": {"x86_64": "repo@sha256:0"},
            "subnets": ["subnet-1"],
            "security_group": "sg-1",
            "log_group": "/t/environment",
            "gateway": "gw.t.internal:3128",
        }
    return common | own | fields


def outputs(runtime: str = "docker", **fields: Any) -> dict[str, Any]:
    """All outputs of a stack with one environment, a session for runs and a service."""
    sessions: dict[str, Any] = {
        "desk": {"runtime": runtime, "pattern": "ephemeral", "environment": "api-client"},
        "chat": {"runtime": runtime, "pattern": "long_running", "environment": "api-client"},
    }
    if runtime == "docker":
        sessions["desk"] |= {"session": DESK, "image": "session:1"}
        sessions["chat"] |= {
            "image": "session:1",
            "session": CHAT,
            "container": "t-chat",
            "fence": "t-chat-fence",
            "network": "t-chat",
            "address": "10.200.0.11",
            "ports": {"8080": "127.0.0.1:8080"},
        }
    else:
        arn = f"arn:aws:ecs:{REGION}:123456789012:task-definition/t_run:1"
        size = {"cpu": "1024", "memory": "2048", "containerOverrides": [{"name": "session", "memory": 2048}]}
        for session in sessions.values():
            session |= {"task_definition": arn, "overrides": size, "capacity_provider": "FARGATE"}
        sessions["chat"] |= {"host": "chat.t.internal", "ports": [8080]}
    return {"environments": {"api-client": environment(runtime, **fields)}, "sessions": sessions}
