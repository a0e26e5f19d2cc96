"""Writes RULES.md from the rules: `python -m policies.rules_table`; with `--check`, says whether it is stale."""

import argparse
import sys
from pathlib import Path

from pulumi_policy import EnforcementLevel, StackValidationPolicy

from policies.catalogue import RULES
from policies.verdict import Rule

OWN_PACKAGE = "agent-environments"
TABLE_FILE = Path(__file__).with_name("RULES.md")

HEAD = """\
# Rules of the policy pack

Made from the rules by `python -m policies.rules_table`; do not edit. Enforced with `pulumi up --policy-pack policies`.

A rule answers *compliant*, *violation* or, in a preview, *unknown*: a value that only `up` will know is named in a
notice, everything else is judged at once, and `up` judges the value before it creates the resource. Rules marked
*stack* see all resources together, at the end of the preview, so do not skip the preview (`--skip-preview`).

"""


def table() -> str:
    """RULES.md as it should be."""
    mandatory = [rule for rule in RULES if rule.policy.enforcement_level is not EnforcementLevel.ADVISORY]
    advisory = [rule for rule in RULES if rule.policy.enforcement_level is EnforcementLevel.ADVISORY]
    return HEAD + _section("Mandatory", mandatory) + "\n" + _section("Advice", advisory)


def _section(title: str, rules: list[Rule]) -> str:
    rows = "".join(_row(rule) for rule in rules)
    return f"## {title}\n\n| rule | severity | demands | fix | controls | looks at |\n|---|---|---|---|---|---|\n{rows}"


def _row(rule: Rule) -> str:
    policy = rule.policy
    marks = ["*stack*"] if isinstance(policy, StackValidationPolicy) else []
    if policy.enforcement_level is EnforcementLevel.REMEDIATE:
        marks.append("*repaired*")
    cells = (
        " ".join([f"`{policy.name}`", *marks]),
        policy.severity.value if policy.severity else "",
        policy.description,
        policy.remediation_steps or "",
        ", ".join(control.label for control in rule.controls),
        ", ".join(_type_name(token) for token in rule.applies_to),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type_name(token: str) -> str:
    package, _, rest = token.partition(":")
    module, _, name = rest.rpartition(":")
    if not name:
        return token
    folder = module.partition("/")[0]
    words = ("" if package == OWN_PACKAGE else package, "" if folder == "index" else folder, name)
    return " ".join(word for word in words if word)


def main(arguments: list[str]) -> int:
    """Write the table; with `--check` return 1 when the file differs from it."""
    parser = argparse.ArgumentParser(prog="python -m policies.rules_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when RULES.md is stale")
    wanted = table()
    if not parser.parse_args(arguments).check:
        TABLE_FILE.write_text(wanted, encoding="utf-8")
        return 0
    if TABLE_FILE.exists() and TABLE_FILE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write(f"{TABLE_FILE}: is not what the rules say. Fix: run python -m policies.rules_table\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
