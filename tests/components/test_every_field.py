"""Every field that a team may declare reaches a resource: a field that nothing reads would be a promise unkept."""

import json
from collections.abc import Iterator
from typing import Any

from components.models.stack import DockerHost, Stack
from tests.components.conftest import Recorder, run
from tests.unit.certificates import authority

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret"
EVERYTHING: dict[str, Any] = {
    "team": "team-x",
    "cost_centre": "centre-x",
    "runtime": "fargate",
    "base_image": f"debian:forky-slim@sha256:{'e' * 64}",
    "log_retention_days": 545,
    "tags": {"data-class": "class-x"},
    "certificate_authorities": [authority("authority-x")],
    "network": {"session_range": "10.99.0.0/20", "egress_range": "10.99.16.0/20", "zones": 3},
    "environments": [
        {
            "name": "open-x",
            "description": "description-x",
            "metadata": {"meta-key-x": "meta-value-x"},
            "scope": "organization",
            "config": {
                "type": "cloud",
                "packages": {
                    "apt": ["apt-x"],
                    "cargo": ["cargo-x"],
                    "gem": ["gem-x"],
                    "go": ["example.com/go-x@v1"],
                    "npm": ["npm-x"],
                    "pip": ["pip-x"],
                },
                "networking": {"type": "unrestricted"},
            },
        },
        {
            "name": "shut-x",
            "config": {
                "type": "cloud",
                "networking": {
                    "type": "limited",
                    "allowed_hosts": ["allowed-x.example.com"],
                    "allow_mcp_servers": True,
                    "allow_package_managers": True,
                },
            },
        },
    ],
    "sessions": [
        {
            "name": "run-x",
            "environment": "open-x",
            "pattern": "ephemeral",
            "agent": {
                "name": "agent-x",
                "model": "model-x",
                "system": "system-x",
                "max_turns": 777,
                "max_budget_usd": 7.75,
                "mcp_servers": [{"name": "mcp-x", "url": "https://mcp-x.example.com/sse"}],
                "allowed_tools": ["tool-x"],
            },
            "resources": {"cpu": 4, "memory_gib": 9, "disk_gib": 77, "architecture": "arm64", "spot": True},
            "secrets": [
                {"name": "SECRET_X", "source": f"{ARN}:env-x-AbCdEf"},
                {
                    "name": "ANTHROPIC_API_KEY",
                    "source": f"{ARN}:model-x-AbCdEf",
                    "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
                },
            ],
            "variables": {"VARIABLE_X": "variable-value-x"},
            "mounts": [
                {"type": "file", "file_id": "file-x", "mount_path": "/workspace/file-x"},
                {
                    "type": "github_repository",
                    "url": "https://github.com/owner-x/repository-x",
                    "checkout": "branch-x",
                    "mount_path": "/workspace/repository-x",
                },
            ],
            "metadata": {"session-key-x": "session-value-x"},
            "schedule": {"expression": "rate(7 days)", "timezone": "Europe/Oslo", "prompt": "prompt-x"},
        },
        {
            "name": "serve-x",
            "environment": "shut-x",
            "pattern": "long_running",
            "agents": [
                {
                    "name": "one-x",
                    "model": "model-y",
                    "mcp_servers": [{"name": "mcp-y", "url": "https://mcp-y.example.com/sse"}],
                },
                {"name": "two-x", "model": "model-z"},
            ],
            "shared_folder": True,
            "ports": [7777, 7778],
            "token_sha256": "7b" * 32,
            "secrets": [
                {
                    "name": "route_x",
                    "source": f"{ARN}:route-x-AbCdEf",
                    "inject": {
                        "origin": "https://origin-x.example.com",
                        "header": "x-header-x",
                        "paths": ["PUT /path-x/*"],
                    },
                }
            ],
        },
        {
            "name": "own-x",
            "environment": "shut-x",
            "pattern": "long_running",
            "command": ["command-x"],
            "ports": [7779],
        },
    ],
}
# Said by what exists rather than by its own text: the number of subnets, Spot's name, a size rounded up, the stack's
# provider (tags; tested with the provider), the runtime itself.
OTHERWISE = {
    "zones": ("agents-network-sessions-2",),
    "spot": ("FARGATE_SPOT",),
    "cpu": ("4096",),
    "memory_gib": ("9216",),
    "session_range": ("10.99.0.0/22",),
    "egress_range": ("10.99.16.0/23",),
    "team": (),
    "cost_centre": (),
    "tags": (),
    "runtime": (),
    "architecture": ("ARM64",),
    "shared_folder": ('"shared_folder":true',),
    "certificate_authorities": ("BEGIN CERTIFICATE",),
    "allow_mcp_servers": ("mcp-y.example.com",),
    "allow_package_managers": ('"package_managers":true', "find_registries.py"),
}


def leaves(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value, path)
    else:
        yield path, data


def test_every_field_reaches_a_resource(recorder: Recorder) -> None:
    seen = run(recorder, Stack.parse(EVERYTHING)).seen
    # Components carry the declaration itself, which would prove nothing.
    made = json.dumps([[one.name, one.inputs] for one in seen if not one.type.startswith("agent-environments:")])
    made = made.replace("\\", "")
    lost = []
    for path, value in leaves(EVERYTHING):
        field = next((part for part in path if part in OTHERWISE), None)
        texts = OTHERWISE[field] if field else (str(value),)
        if not all(text in made for text in texts) and not {path[-1], value} & CARRIED_BY_THE_COMPONENT:
            lost.append((path, value))
    assert lost == []


CARRIED_BY_THE_COMPONENT = {"description", "scope", "meta-key-x"}
"""Descriptive fields of the wire format."""
OF_OTHER_RUNTIMES = {"docker", *DockerHost.model_fields, "idle_timeout", "private_hosts"}
"""What Fargate has no use for, and what it refuses."""


def test_the_sample_names_every_field() -> None:
    declared = json.dumps(Stack.parse(EVERYTHING).model_json_schema())
    names = {name for path, _ in leaves(EVERYTHING) for name in path}
    assert names >= set(fields(json.loads(declared))) - {"archived_at", "type"} - OF_OTHER_RUNTIMES


def fields(schema: dict[str, Any]) -> Iterator[str]:
    for model in (schema, *schema["$defs"].values()):
        yield from model.get("properties", {})
