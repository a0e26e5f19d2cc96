"""A fence has rules, and they refuse what they do not name.

A session in a namespace without rules is held by its network alone; that of an unrestricted session holds nothing.
"""

import re

from pulumi_policy import ResourceValidationArgs, Severity

from components.models.tags import Tag
from policies.docker_host import CONTAINER
from policies.reading import get, items
from policies.roles import UNRESTRICTED, networking, sets_rules, tag
from policies.verdict import Findings, nist, resource_rule

RULES = "FENCE_RULES"
"""Environment variable that a fence takes its rules from, as nftables writes them."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """What comes in is refused unless named, always; what goes out of a limited session's namespace too.

    A fence without a session is a gateway's, whose way out its own program decides on.
    """
    if not sets_rules(args):
        return
    chains = ["input"]
    if tag(args, Tag.SESSION) and networking(args) != UNRESTRICTED:
        chains.append("output")
    rules = dict(str(pair).partition("=")[::2] for pair in items(get(args.props, "envs"))).get(RULES)
    if rules is None:
        findings.violation(f"envs[{RULES}]", "is missing")
        return
    for chain in chains:
        if not re.search(rf"\bhook\s+{chain}\b[^;]*;\s*policy\s+drop\s*;", rules):
            findings.violation(f"envs[{RULES}]", f"lets through what its {chain} chain does not name")


RULE = resource_rule(
    "docker-fence-refuses-by-default",
    "A fence's rules drop what their input chain does not name; a limited session's what their output chain does not.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix="give both chains `policy drop`; an unrestricted session's fence is labelled agentenv.networking=unrestricted",
)
