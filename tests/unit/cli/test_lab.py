"""`lab`: hands over to the lab, exactly what was typed."""

import json

import pytest

from agent.lab import commands


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "run", lambda *args: calls.append(args) or 1)
    monkeypatch.setattr(commands, "serve", lambda *args, **more: calls.append((*args, more)) or 0)
    return calls


@pytest.mark.parametrize(
    ("args", "call"),
    [
        (["centos-reject"], ("centos-reject", None, [])),
        (["centos-reject", "-o", "json", "--backend", "legacy"], ("centos-reject", "legacy", ["-o", "json"])),
        (["--backend", "nft", "healthy", "--brief"], ("healthy", "nft", ["--brief"])),
        (["healthy", "--", "nft", "-j", "list", "ruleset"], ("healthy", None, ["--", "nft", "-j", "list", "ruleset"])),
    ],
)
def test_run(run, asked, args, call):
    result = run("lab", "run", *args)
    assert asked == [call]
    assert result.exit_code == 1


def test_serve(run, asked):
    assert run("lab", "serve", "drop-policy", "--port", "0").exit_code == 0
    assert asked == [("drop-policy", None, "127.0.0.1", 0, {"allow_fix": False})]


def test_serve_may_mend_the_lab_where_it_is_told_so(run, asked):
    assert run("lab", "serve", "drop-policy", "--port", "0", "--allow-fix").exit_code == 0
    assert asked == [("drop-policy", None, "127.0.0.1", 0, {"allow_fix": True})]


def test_list_has_every_incident_with_its_story(run):
    incidents = commands.list_incidents()
    lines = run("lab", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [incident.name for incident in incidents]
    body = json.loads(run("lab", "list", "-o", "json").stdout)
    assert [item["story"] for item in body["incidents"]] == [incident.story for incident in incidents]
    assert "nft" in body["incidents"][0]["backends"]
