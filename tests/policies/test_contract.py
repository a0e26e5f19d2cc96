"""What holds for every rule and for the pack as a whole."""

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy

import policies
import policies.rules
from policies import rules_table, taggable
from policies.catalogue import RULES
from policies.verdict import Rule
from tests.policies.judging import BY_NAME

ADVICE = {"advise-limited-networking", "advise-model-route", "advise-no-wildcard-hosts"}
REPAIRED = {"required-tags"}
MODULES = [module.name for module in pkgutil.iter_modules(policies.rules.__path__)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.policy.name)
def test_every_rule_carries_its_metadata(rule: Rule) -> None:
    policy = rule.policy
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", policy.name)
    assert policy.description.endswith(".")
    assert policy.severity is not None
    assert policy.remediation_steps
    assert rule.controls
    assert policy.framework is not None
    assert policy.framework.reference == rule.controls[0].id
    assert policy.framework.specification == rule.controls[0].title
    assert policy.tags == [control.label for control in rule.controls]
    assert rule.applies_to


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.policy.name)
def test_every_rule_is_mandatory_unless_listed_here(rule: Rule) -> None:
    expected = EnforcementLevel.MANDATORY
    if rule.policy.name in ADVICE:
        expected = EnforcementLevel.ADVISORY
    if rule.policy.name in REPAIRED:
        expected = EnforcementLevel.REMEDIATE
    assert rule.policy.enforcement_level is expected
    repairs = isinstance(rule.policy, ResourceValidationPolicy) and rule.policy.has_remediation()
    assert repairs == (rule.policy.name in REPAIRED)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(RULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_explains_itself_and_is_in_the_catalogue(name: str) -> None:
    module = importlib.import_module(f"policies.rules.{name}")
    assert module.__doc__
    assert module.RULE in RULES


def test_no_two_modules_share_a_rule() -> None:
    assert len(MODULES) == len(RULES)


def test_no_module_hides_one_of_python() -> None:
    # The engine runs the folder as a program, so its modules come before the standard library's.
    names = {path.stem for path in Path(policies.__path__[0]).glob("*.py")}
    assert names & set(sys.stdlib_module_names) == set()


def test_the_table_of_rules_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert rules_table.main(["--check"]) == 0, capsys.readouterr().err
    for rule in RULES:
        assert f"| `{rule.policy.name}`" in rules_table.TABLE_FILE.read_text(encoding="utf-8")


def test_a_stale_table_is_noticed_and_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "RULES.md"
    stale.write_text("old", encoding="utf-8")
    monkeypatch.setattr(rules_table, "TABLE_FILE", stale)
    assert rules_table.main(["--check"]) == 1
    assert stale.read_text(encoding="utf-8") == "old"
    assert rules_table.main([]) == 0
    assert rules_table.main(["--check"]) == 0


def test_the_list_of_taggable_types_is_that_of_the_installed_sdk() -> None:
    assert taggable.TYPES_FILE.read_text(encoding="utf-8").split() == taggable.types_of_sdk()
    assert "aws:ec2/vpc:Vpc" in taggable.taggable_types()
    assert "aws:scheduler/schedule:Schedule" not in taggable.taggable_types()
