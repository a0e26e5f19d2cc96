"""Which module handles which type or function; a module is imported when its first token is asked for."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from offline.aws.resource import Aws, Props, Resource

Invoke = Callable[[Aws, Props], Props]

_SERVICES = "offline.aws.services"
# The part of a token before the slash, and the modules under `services` that may handle it.
_MODULES: dict[str, tuple[str, ...]] = {
    "index": ("index",),
    "ec2": (
        "ec2_vpc",
        "ec2_gateway",
        "ec2_peering",
        "ec2_routing",
        "ec2_endpoint",
        "ec2_security_group",
        "ec2_network_acl",
        "ec2_flow_log",
        "ec2_prefix_list",
    ),
    "vpc": ("ec2_security_group_rule",),
    "route53": ("route53_firewall", "route53_query_log", "route53_zone"),
    "ecs": ("ecs",),
    "ecr": ("ecr",),
    "iam": ("iam",),
    "kms": ("kms",),
    "cloudwatch": ("cloudwatch",),
    "s3": ("s3", "s3_object", "s3_policy"),
    "scheduler": ("scheduler",),
    "servicediscovery": ("servicediscovery",),
    "secretsmanager": ("secretsmanager",),
}


class UnsupportedError(LookupError):
    """The stand-in has no handler for a type or function of the real provider."""


def resource(token: str) -> Resource:
    """Returns the handler of a resource type, e.g. `aws:ec2/vpc:Vpc`.

    Raises:
        UnsupportedError: there is none.
    """
    handler = _resources(_group(token)).get(token)
    if handler is None:
        raise UnsupportedError(
            f"the stand-in for the aws provider does not implement the resource type {token}: add a handler to "
            f"RESOURCES of {_where(token)}, or use the real aws plugin"
        )
    return handler


def function(token: str) -> Invoke:
    """Returns the implementation of a function, e.g. `aws:index/getRegion:getRegion`.

    Raises:
        UnsupportedError: there is none.
    """
    invoke = _functions(_group(token)).get(token)
    if invoke is not None:
        return invoke
    raise UnsupportedError(
        f"the stand-in for the aws provider does not implement the function {token}: add it to INVOKES of "
        f"{_where(token)}, or use the real aws plugin"
    )


def resources() -> list[Resource]:
    """Returns every handler, sorted by token. Imports all modules."""
    return sorted((r for group in _MODULES for r in _resources(group).values()), key=lambda r: r.token)


def functions() -> list[str]:
    """Returns the tokens of every function, sorted. Imports all modules."""
    return sorted(token for group in _MODULES for token in _functions(group))


def _group(token: str) -> str:
    package, _, rest = token.partition(":")
    return rest.partition("/")[0] if package == "aws" else ""


def _where(token: str) -> str:
    names = _MODULES.get(_group(token))
    return (
        f"offline/aws/services/{names[0]}.py" if names else "a new module in offline/aws/services/ (and to registry.py)"
    )


@functools.cache
def _modules(group: str) -> tuple[Any, ...]:
    return tuple(importlib.import_module(f"{_SERVICES}.{name}") for name in _MODULES.get(group, ()))


@functools.cache
def _resources(group: str) -> dict[str, Resource]:
    return {handler.token: handler for module in _modules(group) for handler in module.RESOURCES}


@functools.cache
def _functions(group: str) -> dict[str, Invoke]:
    return {token: invoke for module in _modules(group) for token, invoke in module.INVOKES.items()}
