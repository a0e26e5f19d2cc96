"""No secret stands among a session's environment variables."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.credentials import names_secret, shape
from policies.reading import get, shown
from policies.sessions import TYPES, entries
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each variable that is named like a secret or looks like one; never its value."""
    for entry in entries(args, findings):
        with findings.deferring():
            variables = get(entry.body, "variables") or {}
            for name in variables:
                with findings.deferring():
                    value = variables[name]
                    what = shape(str(value)) or ("a secret, by its name" if names_secret(name, value) else None)
                    if what:
                        findings.violation(f"{entry.at}.variables[{shown(name)}]", f"holds {what}")


RULE = resource_rule(
    "session-variables-no-secret",
    "No environment variable of a session holds a secret.",
    types=TYPES,
    check=check,
    severity=Severity.CRITICAL,
    controls=(nist("IA-5(7)", "Authenticator Management | No Embedded Unencrypted Static Authenticators"),),
    fix=(
        "move it to the session's secrets: {name: ..., source: ARN of a Secrets Manager secret, or file:/PATH on the "
        "Docker host}"
    ),
)
