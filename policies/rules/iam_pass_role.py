"""`iam:PassRole` hands on one named role to one named service: anything wider is a way to more rights."""

from collections.abc import Mapping

from pulumi_policy import ResourceValidationArgs, Severity

from policies.documents import Kind, Statement, statements, types_with
from policies.reading import items, shown
from policies.verdict import Findings, nist, resource_rule

PASS_ROLE = "iam:PassRole"  # noqa: S105 - an action's name
SERVICE_KEY = "iam:passedtoservice"
EQUALITY = frozenset({"stringequals", "stringequalsignorecase", "stringlike"})
"""Operators that demand the key; `...IfExists` lets a call without it through."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each statement that passes a role without naming both the role and the service."""
    for statement in statements(args, findings, (Kind.IDENTITY,)):
        if not statement.allows or not statement.can(PASS_ROLE):
            continue
        for role in statement.resources or ["(none)"]:
            if "*" in role or "?" in role or ":role/" not in role:
                findings.violation(f"{statement.at}, Resource", f"passes {shown(role)}, which is not one named role")
        services = _services(statement)
        if not services or any("*" in service or "?" in service for service in services):
            findings.violation(f"{statement.at}, Condition", "does not name the service in iam:PassedToService")


def _services(statement: Statement) -> list[str]:
    found: list[str] = []
    for operator, keys in statement.condition.items():
        if operator.lower() in EQUALITY and isinstance(keys, Mapping):
            for key, value in keys.items():
                if key.lower() == SERVICE_KEY:
                    found += [str(service) for service in items(value)]
    return found


RULE = resource_rule(
    "iam-pass-role-conditioned",
    "iam:PassRole names the role, and the service it is for in a condition on iam:PassedToService.",
    types=types_with(Kind.IDENTITY),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("AC-6", "Least Privilege"),
        nist("AC-6(1)", "Least Privilege | Authorize Access to Security Functions"),
    ),
    fix="allow it alone, on the role's ARN, with StringEquals on iam:PassedToService, e.g. ecs-tasks.amazonaws.com",
)
