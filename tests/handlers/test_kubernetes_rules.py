"""One table of permissions: the roles that we ship, the page in docs and the guards say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bot.registry import load
from docs.permissions_table import PAGE, page
from handlers._kube_rules import ACT, LOOK, Rule

RBAC = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "rbac"


def shipped(role: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of a shipped role."""
    rules = yaml.safe_load((RBAC / f"clusterrole-{role}.yaml").read_text())["rules"]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("role, rules", [("look", LOOK), ("act", ACT)])
def test_the_shipped_role_holds_exactly_the_rules_of_the_table(role: str, rules: tuple[Rule, ...]) -> None:
    assert shipped(role) == {(rule.kind.group, rule.resource, rule.verb) for rule in rules}


def test_looking_changes_nothing_and_nobody_reads_secrets() -> None:
    assert {verb for _, _, verb in shipped("look")} == {"get", "list"}
    every = shipped("look") | shipped("act")
    assert not {resource for _, resource, _ in every} & {"secrets", "configmaps", "pods/exec", "roles", "*"}
    assert not {verb for _, _, verb in every} & {"*", "delete", "deletecollection", "escalate", "impersonate", "bind"}


def test_every_rule_is_for_something_that_exists() -> None:
    found = load()
    known = {*found.actions, *found.diagnostics}
    assert {verb for rule in (*LOOK, *ACT) for verb in rule.for_} <= known


def test_the_page_holds_the_table() -> None:
    """Make it anew: python docs/permissions_table.py."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text)
