"""What a rule is made of, and its three answers: compliant, violation, or unknown until `up`.

A rule reads narrowly and puts each read into :meth:`Findings.deferring`. A value that only `up` will know defers
that read and nothing else: the rest is judged at once, and the preview says what was left open. At `up` the engine
asks again before each resource is created, and by then the value is known.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    ReportViolation,
    ResourceRemediation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError


@dataclass(frozen=True)
class Control:
    """One control of a compliance framework that a rule serves.

    Attributes:
        framework: Name of the framework.
        version: Its version.
        id: The control's id in it.
        title: The control's title.
    """

    framework: str
    version: str
    id: str
    title: str

    @property
    def label(self) -> str:
        """Short form for tags and tables, e.g. `NIST 800-53 SC-7(5)`."""
        return f"{self.framework} {self.id}"


def fsbp(control: str, title: str) -> Control:
    """A control of AWS Security Hub's Foundational Security Best Practices."""
    return Control("AWS FSBP", "1.0.0", control, title)


def cis(control: str, title: str) -> Control:
    """A recommendation of the CIS Docker Benchmark."""
    return Control("CIS Docker", "1.6.0", control, title)


def nist(control: str, title: str) -> Control:
    """A control of NIST SP 800-53."""
    return Control("NIST 800-53", "rev. 5", control, title)


@dataclass
class Findings:
    """Collects what one run of one rule finds.

    Attributes:
        report: The engine's callback: message, URN.
        fix: What to do about a violation of this rule.
    """

    report: ReportViolation
    fix: str
    _unknown: list[UnknownValueError] = field(default_factory=list)

    def violation(self, at: str, problem: str, urn: str | None = None) -> None:
        """Report one violation.

        Args:
            at: Path of the property, or what stands in for it.
            problem: What is wrong with its value; never the value itself where it may be secret.
            urn: For a rule over the whole stack, the resource that is wrong.
        """
        self.report(f"{at} {problem}. Fix: {self.fix}", urn)

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Leave what is unknown inside to `up`, and go on behind it."""
        try:
            yield
        except UnknownValueError as unknown:
            self._unknown.append(unknown)

    def settle(self) -> None:
        """End the run.

        Raises:
            UnknownValueError: something was deferred; the SDK turns it into a notice in the preview.
        """
        if self._unknown:
            first = self._unknown[0]
            error = UnknownValueError(first.unknown_type_sentinel, first.props)
            error.message = "; ".join(dict.fromkeys(unknown.message for unknown in self._unknown))
            raise error


@dataclass(frozen=True)
class Rule:
    """One rule of the pack.

    Attributes:
        policy: What the engine runs.
        controls: Controls that it serves, the closest first.
        applies_to: Resource types that it looks at, for the table of rules.
    """

    policy: Policy
    controls: tuple[Control, ...]
    applies_to: tuple[str, ...]


ResourceCheck = Callable[[ResourceValidationArgs, Findings], None]
StackCheck = Callable[[StackValidationArgs, Findings], None]


def resource_rule(
    name: str,
    description: str,
    *,
    types: Collection[str],
    check: ResourceCheck,
    severity: Severity,
    controls: Sequence[Control],
    fix: str,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
    remediate: ResourceRemediation | None = None,
    config: PolicyConfigSchema | None = None,
    applies_to: Sequence[str] = (),
) -> Rule:
    """A rule over the inputs of one resource at a time, judged before that resource is created.

    Args:
        name: Unique in the pack.
        description: What is demanded, and why.
        types: Resource types that it applies to; for all others it reports itself as not applicable.
        check: The rule.
        severity: How bad a violation is.
        controls: At least one; the first becomes the policy's framework.
        fix: What to do about a violation.
        level: How it is enforced.
        remediate: Repairs the inputs first, with `level` REMEDIATE.
        config: What the pack's configuration may say to it.
        applies_to: What the table shows in place of `types`.
    """

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type not in types:
            args.not_applicable(f"{args.resource_type} is none of the types that this rule is about")
        _judge(lambda findings: check(args, findings), report, fix)

    policy = ResourceValidationPolicy(
        name,
        description,
        validate=validate,
        enforcement_level=level,
        config_schema=config,
        remediate=remediate,
        severity=severity,
        framework=_framework(controls[0]),
        tags=[control.label for control in controls],
        remediation_steps=fix,
    )
    return Rule(policy, tuple(controls), tuple(applies_to) or tuple(sorted(types)))


def stack_rule(
    name: str,
    description: str,
    *,
    types: Collection[str],
    check: StackCheck,
    severity: Severity,
    controls: Sequence[Control],
    fix: str,
    level: EnforcementLevel = EnforcementLevel.MANDATORY,
) -> Rule:
    """A rule over the resources of the stack together: the arguments are those of :func:`resource_rule`.

    The engine asks it at the end of a preview and at the end of an `up`, so it is the preview (which `pulumi up` runs
    first) that stops a violation before anything is created. It therefore leans on property dependencies, which a
    preview knows even where it does not know the values.
    """

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        if not any(resource.resource_type in types for resource in args.resources):
            args.not_applicable("the stack has no resource that this rule is about")
        _judge(lambda findings: check(args, findings), report, fix)

    policy = StackValidationPolicy(
        name,
        description,
        validate=validate,
        enforcement_level=level,
        severity=severity,
        framework=_framework(controls[0]),
        tags=[control.label for control in controls],
        remediation_steps=fix,
    )
    return Rule(policy, tuple(controls), tuple(sorted(types)))


def _judge(check: Callable[[Findings], None], report: ReportViolation, fix: str) -> None:
    findings = Findings(report, fix)
    with findings.deferring():
        check(findings)
    findings.settle()


def _framework(control: Control) -> PolicyComplianceFramework:
    return PolicyComplianceFramework(
        name=control.framework, version=control.version, reference=control.id, specification=control.title
    )
