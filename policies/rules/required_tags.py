"""Everything that takes tags says whose it is and who pays; what is missing and known is added.

The engine runs the repair before it judges, so a violation remains only where a value is known nowhere.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any, cast

from pulumi_policy import EnforcementLevel, PolicyConfigSchema, ResourceRemediation, ResourceValidationArgs, Severity
from pulumi_policy.proxy import UnknownValueError

from components.models.tags import REQUIRED_TAGS, Tag
from policies.reading import get
from policies.roles import tag
from policies.taggable import taggable_types
from policies.verdict import Findings, nist, resource_rule

CONFIG = PolicyConfigSchema(
    properties={
        "team": {"type": "string", "description": "Value of agentenv:team where a resource has none"},
        "costCentre": {"type": "string", "description": "Value of agentenv:cost-centre where a resource has none"},
    }
)


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each required tag that neither the resource nor its provider's default tags carry."""
    for key in REQUIRED_TAGS:
        with findings.deferring():
            if not tag(args, key):
                findings.violation(f"tags[{key}]", "is missing")


def remediate(args: ResourceValidationArgs) -> Mapping[str, Any] | None:
    """The inputs with the missing tags that are known; None when nothing is missing or nothing is known.

    Tags are written through the SDK's proxies rather than into a copy, which would make secret inputs plain.
    """
    if args.resource_type not in taggable_types():
        return None
    missing = [key for key in REQUIRED_TAGS if not _has(args, key)]
    added = {key.value: value for key in missing if (value := _known(args, key))}
    if not added:
        return None
    props = cast("MutableMapping[str, Any]", args.props)
    # Unlike a check, a remediation is given unknown values as they are, so an unknown map of tags is a string here.
    tags = props.get("tags")
    if tags is None:
        props["tags"] = added
    elif isinstance(tags, Mapping):
        for key, value in added.items():
            cast("MutableMapping[str, Any]", tags)[key] = value
    else:
        return None
    return props


def _has(args: ResourceValidationArgs, key: Tag) -> bool:
    try:
        return bool(tag(args, key))
    except UnknownValueError:
        return True


def _known(args: ResourceValidationArgs, key: Tag) -> str | None:
    """The value from the pack's configuration, else from the stack's own tags, else from the stack itself."""
    settings = args.get_config()
    if key is Tag.STACK:
        # urn:pulumi:STACK::project::type::name
        return args.urn.split("::")[0].rpartition(":")[2] or None
    named = get(settings, "team" if key is Tag.TEAM else "costCentre") or args.stack_tags.get(key)
    if named or key is Tag.TEAM:
        return named or None
    # The team pays unless someone else is named.
    return tag(args, Tag.TEAM) or _known(args, Tag.TEAM)


RULE = resource_rule(
    "required-tags",
    "Everything that takes tags carries agentenv:stack, agentenv:team and agentenv:cost-centre.",
    types=taggable_types(),
    check=check,
    severity=Severity.MEDIUM,
    controls=(nist("CM-8", "System Component Inventory"),),
    fix="set the provider's defaultTags from the stack file, or team and costCentre in the policy pack's configuration",
    level=EnforcementLevel.REMEDIATE,
    remediate=cast("ResourceRemediation", remediate),
    config=CONFIG,
    applies_to=("every AWS resource that takes tags",),
)
