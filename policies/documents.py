"""IAM documents as the rules see them: where each resource type keeps them, and their statements taken apart."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pulumi_policy import ResourceValidationArgs

from policies.aws import VPC_ENDPOINT
from policies.reading import get, is_list, items, plain, shown
from policies.verdict import Findings


class Kind(StrEnum):
    """What `Resource` means in a document."""

    IDENTITY = "identity"
    """Names what a principal may reach."""
    TRUST = "trust"
    """Has no Resource: says who may assume the role."""
    BOUNDARY = "boundary"
    """Names what may be reached through a VPC endpoint, or in a bucket or log group."""
    OWN = "own"
    """`*` is the one resource that the policy hangs on; AWS documents it so for KMS keys, secrets and repositories."""


@dataclass(frozen=True)
class Slot:
    """A property that holds a document; with `each`, a list of objects that hold one in `each`."""

    prop: str
    kind: Kind
    each: str | None = None


SLOTS: dict[str, tuple[Slot, ...]] = {
    "aws:iam/role:Role": (
        Slot("assumeRolePolicy", Kind.TRUST),
        Slot("inlinePolicies", Kind.IDENTITY, each="policy"),
    ),
    "aws:iam/rolePolicy:RolePolicy": (Slot("policy", Kind.IDENTITY),),
    "aws:iam/policy:Policy": (Slot("policy", Kind.IDENTITY),),
    "aws:iam/userPolicy:UserPolicy": (Slot("policy", Kind.IDENTITY),),
    "aws:iam/groupPolicy:GroupPolicy": (Slot("policy", Kind.IDENTITY),),
    VPC_ENDPOINT: (Slot("policy", Kind.BOUNDARY),),
    "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy": (Slot("policy", Kind.BOUNDARY),),
    "aws:s3/bucketPolicy:BucketPolicy": (Slot("policy", Kind.BOUNDARY),),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": (Slot("policyDocument", Kind.BOUNDARY),),
    "aws:kms/key:Key": (Slot("policy", Kind.OWN),),
    "aws:kms/keyPolicy:KeyPolicy": (Slot("policy", Kind.OWN),),
    "aws:secretsmanager/secret:Secret": (Slot("policy", Kind.OWN),),
    "aws:secretsmanager/secretPolicy:SecretPolicy": (Slot("policy", Kind.OWN),),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": (Slot("policy", Kind.OWN),),
}
"""Every type of `pulumi_aws` that this project's stacks use, or could use instead, and that carries a document."""


def types_with(*kinds: Kind) -> tuple[str, ...]:
    """Resource types with a document of one of `kinds`."""
    return tuple(kind for kind, slots in SLOTS.items() if any(slot.kind in kinds for slot in slots))


@dataclass(frozen=True)
class Statement:
    """One statement of a document.

    Attributes:
        at: Where it stands, for messages.
        kind: Kind of its document.
        body: As written, in plain dicts and lists.
    """

    at: str
    kind: Kind
    body: Mapping[str, Any]

    @property
    def allows(self) -> bool:
        """Whether it grants; a Deny only ever narrows, so breadth in it is no fault."""
        return bool(self.body.get("Effect") == "Allow")

    @property
    def actions(self) -> list[str]:
        """Action patterns."""
        return [str(action) for action in items(self.body.get("Action"))]

    @property
    def resources(self) -> list[str]:
        """Resource patterns."""
        return [str(resource) for resource in items(self.body.get("Resource"))]

    @property
    def condition(self) -> Mapping[str, Any]:
        """Condition block, empty when absent."""
        found = self.body.get("Condition")
        return found if isinstance(found, Mapping) else {}

    @property
    def is_for_everyone(self) -> bool:
        """Whether its principal is `*`."""
        principal = self.body.get("Principal")
        return principal == "*" or (isinstance(principal, Mapping) and "*" in items(principal.get("AWS")))

    @property
    def administers_own_key(self) -> bool:
        """Whether it is the account's own administration of a KMS key.

        AWS's default key policy allows `kms:*` to the account's root principal, which hands the decision to the
        account's IAM policies; a key without it can become impossible to manage.
        Source: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
        """
        principal = self.body.get("Principal")
        holders = items(principal.get("AWS")) if isinstance(principal, Mapping) else []
        return (
            self.kind is Kind.OWN
            and self.actions == ["kms:*"]
            and len(holders) == 1
            and isinstance(principal, Mapping)
            and set(principal) == {"AWS"}
            and re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:root|\d{12}", str(holders[0])) is not None
        )

    def can(self, action: str) -> bool:
        """Whether it speaks about `action`; IAM compares actions without case and with `*` and `?`."""
        return any(fnmatchcase(action.lower(), _glob(pattern.lower())) for pattern in self.actions)


def statements(
    args: ResourceValidationArgs, findings: Findings, kinds: Collection[Kind] = tuple(Kind)
) -> Iterator[Statement]:
    """Statements of the resource's documents of `kinds`; one that cannot be read is a violation, never a pass."""
    for slot in SLOTS[args.resource_type]:
        if slot.kind not in kinds:
            continue
        for at, document in _documents(args.props, slot, findings):
            yield from _parse(at, document, slot.kind, findings)


def _documents(props: Mapping[str, Any], slot: Slot, findings: Findings) -> Iterator[tuple[str, Any]]:
    with findings.deferring():
        if slot.each is None:
            yield slot.prop, plain(get(props, slot.prop))
            return
        for index, holder in enumerate(items(get(props, slot.prop))):
            with findings.deferring():
                yield f"{slot.prop}[{index}].{slot.each}", plain(get(holder, slot.each))


def _parse(at: str, document: Any, kind: Kind, findings: Findings) -> Iterator[Statement]:
    if document in (None, ""):
        return
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            document = None
    bodies = document.get("Statement") if isinstance(document, Mapping) else None
    listed = bodies if is_list(bodies) else [bodies]
    if not all(isinstance(body, Mapping) for body in listed):
        findings.violation(at, "is not a policy document in JSON, so nobody can tell what it allows")
        return
    for index, body in enumerate(listed):
        name = shown(body.get("Sid", index))
        yield Statement(f"{at}, statement {name}", kind, body)


def is_wild(pattern: str) -> bool:
    """Whether a pattern is made of wildcards alone."""
    return bool(pattern) and set(pattern) <= {"*", "?"}


def _glob(pattern: str) -> str:
    # fnmatch knows brackets, IAM does not.
    return pattern.replace("[", "[[]")
