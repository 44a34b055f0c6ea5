"""Each mistake is told with file, line, what is wrong and what to do. One row, one mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.marked import read
from tests.config.folder import Folder

MAIN_MISTAKES = [
    ("team_id: T0SHOP", "team_id: shop", 'mlops.yaml:2: "team_id" must be a Slack workspace id, like T012AB3CD'),
    ("${env:BOT}", "xoxb-1", 'mlops.yaml:3: "bot_token" is a secret and must not be written here; use ${env:'),
    ("${env:BOT}", "${env:NOPE}", "mlops.yaml:3: environment variable NOPE is not set or empty; set it"),
    ("${env:BOT}", "${file:nope}", "mlops.yaml:3: nope cannot be read (No such file or directory)"),
    ("${env:BOT}", "${vault:x}", 'mlops.yaml:3: "${vault:x}" is not a reference; use ${env:NAME}'),
    ("  bot_token: ${env:BOT}\n", "", "mlops.yaml:1: slack.bot_token is missing; set SLACK_BOT_TOKEN"),
    ("team_id: T0SHOP", "team_id: T0SHOP\n  mode: htpp", "\"mode\" must be 'socket' or 'http'; choose one"),
    ("team_id: T0SHOP", "team_id: T0SHOP\n  mode: http", "slack.signing_secret is missing; set SLACK_SIGNING_SECRET"),
    ("  team_id: T0SHOP\n", "", "slack.team_id is missing, and people are known by it"),
    ("http:\n", "http:\n  listen: 8080\n", 'mlops.yaml:6: "listen" must be a text; correct it'),
    ("http:\n", 'http:\n  listen: "host:port"\n', 'mlops.yaml:6: "listen" must be address:port, like 127.0.0.1:8080'),
    ("http:\n", "http:\n  max_body_bytes: lots\n", 'mlops.yaml:6: "max_body_bytes" must be a whole number; correct it'),
    ("U0ALICE", "alice", 'mlops.yaml:9: "user_id" must be a Slack user id, like U012AB3CD'),
    ("U0ALICE", "U0BOB", '"bob" and "alice" have the same user_id, so one person could approve twice'),
    ("user_id: U0ALICE, ", "", 'mlops.yaml:9: "user_id" is missing; add it'),
    ("roles: [oncall, engineer]", "rolls: [oncall]", 'mlops.yaml:9: unknown key "rolls"; did you mean "roles"?'),
    ('"#ml"', "#ml", 'mlops.yaml:14: "channel": the channel is empty; YAML takes # for a comment'),
    ('"#ml"', '"#M L"', 'mlops.yaml:14: "channel": "#M L" is not a channel; write "#name" in lower case'),
    ("[alice]", "[alicia]", 'mlops.yaml:15: on call: unknown person "alicia"; did you mean "alice"?'),
    (
        "secret_key: ${env:KEY}",
        "secret_key: ${env:SHORT}",
        "secret_key is shorter than 16 characters and could be guessed",
    ),
    ("runbooks: books", "runbooks: nowhere", "nowhere, does not exist; set `runbooks`"),
    (
        "runbooks: books",
        "runbooks: books\nrunbooks: books",
        'mlops.yaml:17: "runbooks" is written twice; keep one of them',
    ),
    ("runbooks: books", "runbooks: books\ndelivery: {lease: 5s}", "timeout must be shorter than lease"),
    ("runbooks: books", "runbooks: books\ndemo: {minute: soon}", '"soon" is not a duration; write it like 15m'),
    (
        "runbooks: books",
        "runbooks: books\ndatabase: {url: 'postgresql://u:pw@h/d'}",
        "the password must not be written",
    ),
    ("runbooks: books", "runbooks: [", "mlops.yaml:17: this is not YAML:"),
    ("runbooks: books", "runbooks: books\n? [a]\n: b", "mlops.yaml:17: a key must be a word"),
]
PROFILE_MISTAKES = [
    ("title: Shop", "titel: Shop", 'system.yaml:1: unknown key "titel"; did you mean "title"?'),
    ("title: Shop", "name: other", 'system.yaml:1: name "other" differs from its folder "shop"'),
    (
        "kind: prometheus",
        "kind: promotheus",
        'system.yaml:4: unknown kind of backend "promotheus"; did you mean "prometheus"?',
    ),
    ('url: "http://prom:9090"', "uri: x", 'system.yaml:4: prometheus has no setting "uri"; did you mean "url"?'),
    (
        '"http://prom:9090"',
        '"http://me:pw@prom:9090"',
        "system.yaml:4: the password must not be written in the address",
    ),
    ('url: "http://prom:9090"', "url: [x]", 'system.yaml:4: setting "url" must be one value'),
    ('"${env:MLFLOW_TOKEN}"', "abc", 'system.yaml:5: "token" is a secret and must not be written here'),
    ("service: ranker", "service: rankr", 'system.yaml:8: unknown service "rankr"; did you mean "ranker"?'),
    ("    service: ranker\n", "", "system.yaml:7: `service` is missing"),
    (
        "    metrics: metrics",
        "    metrics: metric",
        'system.yaml:9: metrics: unknown backend "metric"; did you mean "metrics"?',
    ),
    (
        "    metrics: metrics",
        "    metrics: registry",
        'system.yaml:9: backend "registry" is no metrics; it offers registry',
    ),
    (", below: 0.8", "", 'system.yaml:12: bound "accuracy" has neither `below` nor `above`'),
    ("below: 0.8", "below: low", 'system.yaml:12: "below" must be a number; correct it'),
    ("title: Shop", "catch_all: []", "system.yaml:1: catch_all is empty, so a page that reaches nobody would vanish"),
    (
        "title: Shop",
        "catch_all: [someone]",
        'system.yaml:1: catch_all: "someone" is not a target; use oncall, role:NAME',
    ),
    (
        "title: Shop",
        "escalation: {P0: [{after: 1m, to: ['role:senoir']}]}",
        'role "senoir" is held by nobody; did you mean "senior"?',
    ),
    (
        "title: Shop",
        "escalation: {P0: [{after: 1m, to: ['person:bobby']}]}",
        'unknown person "bobby"; did you mean "bob"?',
    ),
    ("title: Shop", "escalation: {P0: [{after: 1m, to: []}]}", "level 1 of P0 names nobody"),
    (
        "title: Shop",
        "escalation:\n  P0:\n  - {after: 5m, to: oncall}\n  - {after: 5m, to: 'role:senior'}",
        "system.yaml:4: level 2 is not later than the one before; raise `after`",
    ),
    ("title: Shop", "oncall: []\nescalation: {P0: [{after: 1m, to: oncall}]}", "the ladder of P0 reaches nobody"),
    ("title: Shop", "approvals: {change: {roles: [senoir]}}", 'approval of change: role "senoir" is held by nobody'),
    (
        "title: Shop",
        "approvals: {change: {roles: []}}",
        "no change action could ever be approved: it takes 1 with no role",
    ),
    (
        "title: Shop",
        "approvals: {change: {needed: 4, roles: [senior]}}",
        "no change action could ever be approved: it takes 4",
    ),
    (
        "title: Shop",
        "request_roles: [engineer]\napprovals: {change: {needed: 2, roles: [engineer]}}",
        "no change action could ever be approved: it takes 2 with engineer who did not ask for it",
    ),
    ("title: Shop", "approvals: {risky: {needed: 1}}", 'unknown key "risky"; use one of: change, dangerous, light'),
    (
        "title: Shop",
        "request_roles: [enginer]",
        'request_roles: role "enginer" is held by nobody; did you mean "engineer"?',
    ),
    ("title: Shop", "severity: [{name: all, severity: P0}]", 'rule "all" matches every alert; add match, signal'),
    ("title: Shop", "severity: [{name: x, severity: P9, signal: s}]", '"severity" must be'),
    ("title: Shop", "links: {logs: 'javascript:alert(1)'}", 'link "logs" is not an http(s) address'),
]
BOOK_MISTAKES = [
    ("---\nowner", "owner", 'ThingDown.md:1: the front matter is missing; begin the file with "---"'),
    ("owner: shop", "ownr: shop", 'ThingDown.md:2: unknown key "ownr"; did you mean "owner"?'),
    ("2026-01-01", "yesterday", 'ThingDown.md:3: "yesterday" is not a date; write it as YYYY-MM-DD'),
    ("owner: shop", "match: ThingDown", "ThingDown.md:2: `match` must name labels and values"),
    ("owner: shop", "actions: rollback", "ThingDown.md:2: `actions` must be a list of names"),
    ("## Impact", "## Impacts", 'ThingDown.md:8: unknown section "Impacts"; did you mean "Impact"?'),
    ("## Impact\ni\n", "", "section Impact is missing or empty; write it as “## Impact”"),
    ("## Impact", "## Meaning", 'ThingDown.md:8: section "Meaning" appears twice; join the two'),
]


def found(folder: Folder, expected: str) -> None:
    errors = folder.errors()
    assert [error for error in errors if expected in error], "\n".join(errors) or "no error at all"


@pytest.mark.parametrize("old, new, expected", MAIN_MISTAKES)
def test_mistakes_in_the_main_file(tmp_path: Path, old: str, new: str, expected: str) -> None:
    folder = Folder(tmp_path)
    folder.env["SHORT"] = "short"
    assert old in folder.main
    folder.main = folder.main.replace(old, new, 1)
    found(folder, expected)


@pytest.mark.parametrize("old, new, expected", PROFILE_MISTAKES)
def test_mistakes_in_a_profile(tmp_path: Path, old: str, new: str, expected: str) -> None:
    folder = Folder(tmp_path)
    assert old in folder.profile
    folder.profile = folder.profile.replace(old, new, 1)
    found(folder, expected)


@pytest.mark.parametrize("old, new, expected", BOOK_MISTAKES)
def test_mistakes_in_a_runbook(tmp_path: Path, old: str, new: str, expected: str) -> None:
    folder = Folder(tmp_path)
    assert old in folder.book
    folder.book = folder.book.replace(old, new, 1)
    found(folder, expected)


def test_what_works_but_is_thin_is_a_warning(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.main = folder.main.replace("roles: [director, senior]", "roles: [senior]")
    folder.profile += "approvals: {dangerous: {needed: 1}, change: {roles: [engineer]}}\n"
    assert folder.errors() == []
    told = "\n".join(folder.warnings())
    assert 'level 4 of P0 (default ladder): role "director" is held by nobody' in told
    assert "until then its pages go to channel:#ml" in told
    assert "dangerous actions need 2 approvals by default and 1 here" in told


def test_a_person_who_would_wait_for_themselves_is_warned_about(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.profile += "approvals: {change: {roles: [manager]}}\nrequest_roles: [engineer, manager]\n"
    assert folder.errors() == []
    assert any("a change action that carol asks for" in line for line in folder.warnings())


def test_a_folder_of_runbooks_without_a_profile_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write()
    (tmp_path / "books" / "lost").mkdir()
    (tmp_path / "books" / "lost" / "A.md").write_text("x", encoding="utf-8")
    found(folder, "system.yaml:1: the folder has runbooks but no system.yaml")


def test_an_anchor_that_contains_itself_is_told() -> None:
    marked = read("a: &a\n  b: *a\n", "x.yaml")
    assert any("contains itself" in problem.text for problem in marked.problems)


def test_yaml_keeps_words_that_look_like_truth() -> None:
    marked = read("a: on\nb: no\nc: 1:30\nd: 007\ne: 1.5\nf: true\ng: '3'\n", "x.yaml")
    assert marked.value == {"a": "on", "b": "no", "c": "1:30", "d": "007", "e": 1.5, "f": True, "g": "3"}
    assert [marked.line((key,)) for key in "abcdefg"] == list(range(1, 8))


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    marked = read(text, "x.yaml")
    assert all(problem.line >= 1 and problem.text for problem in marked.problems)
