"""Physical names: one helper that knows each AWS service's limit and alphabet."""

import hashlib
import re
from dataclasses import dataclass

PULUMI_SUFFIX = 8
"""Characters that Pulumi adds to a name it makes itself: a hyphen and seven hexadecimal digits."""
_HASH_LENGTH = 8
_LEAST_READABLE = 3
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LOOKS_HASHED = re.compile(rf"(?:.*-)?[0-9a-f]{{{_HASH_LENGTH}}}")


@dataclass(frozen=True)
class _Rule:
    """How one kind of thing is named.

    Attributes:
        limit: Characters at most, with the prefix.
        separator: Stands between parts. Where the service takes one that no part holds, names stay readable and no
            name is the beginning of another's, which patterns in IAM documents rely on.
        prefix: Stands in front of every name.
    """

    limit: int
    separator: str
    prefix: str = ""


# Lower-case letters, digits and inner hyphens are in every alphabet; the separator is the one character beyond them.
_RULES = {
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html; names differ in more than case
    "iam-role": _Rule(64, "."),
    "iam-policy": _Rule(128, "."),
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/: CreateCluster, RegisterTaskDefinition, CreateService
    "ecs-cluster": _Rule(255, "_"),
    "ecs-family": _Rule(255, "_"),
    "ecs-service": _Rule(255, "_"),
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
    "log-group": _Rule(512, "/", "/"),
    # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
    "ecr-repository": _Rule(256, "/"),
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
    "security-group": _Rule(255, "/"),
    # https://docs.aws.amazon.com/cloud-map/latest/api/API_CreateService.html; one DNS label (RFC 1035)
    "cloud-map-service": _Rule(63, "-"),
    # https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    "schedule": _Rule(64, "."),
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html; `alias/` goes before it
    "kms-alias": _Rule(256 - len("alias/"), "/"),
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; a dot would break TLS
    "s3-bucket": _Rule(63, "-"),
    # https://docs.aws.amazon.com/Route53/latest/APIReference/API_route53resolver_CreateFirewallRuleGroup.html
    "dns-firewall": _Rule(64, "_"),
}


def physical_name(kind: str, *parts: str, suffix_room: int = PULUMI_SUFFIX) -> str:
    """A name that a service takes for this kind of thing, made of `parts`.

    Equal parts give equal names and different parts different ones: where the parts cannot be read back from the name,
    since it was too long, or held capitals, the separator or other characters, a hash of the whole ends it.

    Args:
        kind: One of the kinds that this module knows, e.g. `iam-role`.
        parts: From the general to the particular.
        suffix_room: Characters left free at the end for Pulumi's suffix; 0 for a name that Pulumi takes as it is.

    Raises:
        ValueError: the kind is not known, a part is empty, or there is no room for a name.
    """
    rule = _RULES.get(kind)
    if rule is None:
        raise ValueError(f"no naming rule for {kind!r}. Fix: use one of {', '.join(_RULES)}, or add its rule")
    if not parts or not all(parts):
        raise ValueError(f"{parts!r} has an empty part, or none. Fix: give each part of the name a text")
    room = rule.limit - len(rule.prefix) - suffix_room
    if room < _LEAST_READABLE + 1 + _HASH_LENGTH:
        raise ValueError(
            f"{suffix_room} characters of suffix leave no room in the {rule.limit} of a {kind}. Fix: fewer"
        )
    whole = rule.separator.join(parts)
    if len(whole) <= room and _can_be_read_back(parts, rule.separator):
        return rule.prefix + whole
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_HASH_LENGTH]
    readable = rule.separator.join(filter(None, map(_slug, parts)))[: room - 1 - _HASH_LENGTH].rstrip(
        "-" + rule.separator
    )
    return rule.prefix + (f"{readable}-{digest}" if readable else digest)


def _can_be_read_back(parts: tuple[str, ...], separator: str) -> bool:
    return (
        all(_SLUG.fullmatch(part) for part in parts)
        and (len(parts) == 1 or not any(separator in part for part in parts))
        and not _LOOKS_HASHED.fullmatch(parts[-1])
    )


def _slug(part: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")
