"""Advice: the credential of the model stays with the gateway, so that no agent holds it or lacks it."""

from pulumi_policy import EnforcementLevel, ResourceValidationArgs, Severity

from components.models.secrets import MODEL_SECRETS
from policies.aws import ENVIRONMENT
from policies.reading import get, items
from policies.sessions import entries
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Remark on each session with agents for which no gateway adds a credential; a command of its own asks for none."""
    for entry in entries(args, findings):
        with findings.deferring():
            if items(get(entry.body, "command")) or not any(True for _ in entry.agents):
                continue
            secrets = items(get(entry.body, "secrets"))
            if not any(get(one, "name") in MODEL_SECRETS and get(one, "inject") for one in secrets):
                findings.violation(f"{entry.at}.secrets", f"holds no {' and no '.join(MODEL_SECRETS)} with inject")


RULE = resource_rule(
    "advise-model-route",
    "The gateway adds the model's credential to an agent's requests: the agent neither holds it nor lacks it.",
    types=(ENVIRONMENT,),
    check=check,
    severity=Severity.LOW,
    controls=(
        nist("IA-5(7)", "Authenticator Management | No Embedded Unencrypted Static Authenticators"),
        nist("SC-28", "Protection of Information at Rest"),
    ),
    fix=(
        "add the secret ANTHROPIC_API_KEY with its source and inject: "
        "{origin: https://api.anthropic.com, header: x-api-key}"
    ),
    level=EnforcementLevel.ADVISORY,
)
