"""`diagnose`, `bundle`, `replay`: one answer, live or out of a file."""

import gzip
import io
import json
import stat
from dataclasses import replace

import pytest
import yaml

from agent.analysis.diagnosis.diagnose import analyse
from agent.cli import live
from agent.cli.diagnose import BRIEF
from agent.host.errors import HostError
from agent.model.capture import Firewall, Problem, Processes
from agent.model.report import State
from agent.render.data import as_json


def test_the_incident_in_text(run, host):
    result = run("diagnose")
    assert result.exit_code == 1
    assert result.stdout.startswith("k8s-worker1: BLOCKED.")
    assert "icmp-host-prohibited" in result.stdout
    assert host.closed


def test_the_incident_in_json(run, host):
    report = json.loads(run("diagnose", "-o", "json").stdout)
    assert (report["schema"], report["state"]) == ("kubereach.dev/report/v1", "blocked")
    assert report["findings"][0]["code"] == "input-reject"
    assert report["explanation"]["decided_by"]["rule_number"] == 3


def test_extras_are_asked_for_by_flags(run, host, capture):
    run("diagnose", "--deep")
    assert "deep" in host.calls
    host.capture = replace(capture, node=replace(capture.node, namespaces=()))
    host.calls.clear()
    run("diagnose", "--phantom", "--pod-cidr", "10.244.4.0/24")
    assert "phantom 10.244.4.0/24" in host.calls
    assert "end_phantom" in host.calls
    assert "deep" not in host.calls


def test_yaml_says_the_same(run, host):
    first = yaml.safe_load(run("diagnose", "-o", "yaml").stdout)
    assert first["findings"][0]["code"] == "input-reject"


def test_wide_says_more(run, host):
    assert len(run("diagnose", "-o", "wide").stdout) > len(run("diagnose").stdout)


def test_debug_shows_every_observation_with_its_time_behind_the_page(run, host):
    page, _, seen = run("diagnose", "--debug").stdout.partition("\nobservations, from ")
    assert page.startswith("k8s-worker1: BLOCKED.")
    for words in ("stage probe pod", "firewall before: iptables-legacy-save -c", "connect pod", "handshake host", "listener"):
        assert words in seen
    assert all(line.split()[1] == "ms" for line in seen.splitlines()[1:])


def test_progress_is_told_on_a_terminal_only(run, host, monkeypatch):
    assert run("diagnose").stderr == ""
    monkeypatch.setattr("agent.cli.diagnose._wanted", lambda: True)
    watched = run("diagnose")
    names = {line.split(" ms  ")[1] for line in watched.stderr.splitlines()}
    assert {"node", "probe pod", "total"} <= names
    assert watched.stdout.startswith("k8s-worker1: BLOCKED.")


def test_brief_is_one_short_line(run, host):
    result = run("diagnose", "--brief")
    assert result.exit_code == 1
    assert len(result.stdout) <= BRIEF + 1
    assert result.stdout.count("\n") == 1
    assert result.stdout == "blocked: input-reject by filter INPUT rule 3 (iptables-legacy)\n"


def test_brief_names_no_rule_that_a_witness_contradicts(run, host):
    host.capture = replace(host.capture, between=host.capture.before)
    result = run("diagnose", "--brief")
    assert result.stdout.startswith("blocked: ")
    assert "rule 3" not in result.stdout


def test_nothing_seen_is_another_code_than_nothing_decided(run, host):
    node, lost = replace(host.capture.node, namespaces=()), Problem(what="nft", why="not permitted")
    blind = replace(host.capture, node=node, before=Firewall(problems=(lost,)), between=None, probes=())
    assert analyse(replace(blind, processes=Processes(problem="hidden"))).state is State.UNKNOWN
    host.capture = replace(blind, processes=Processes(problem="hidden"))
    assert run("diagnose").exit_code == 5
    assert run("diagnose", "--brief").exit_code == 5


def test_brief_tells_a_blind_look_on_standard_output(run, monkeypatch):
    def refuse(_):
        raise HostError("no privilege, " * 20)

    monkeypatch.setattr(live, "attach", refuse)
    result = run("diagnose", "--brief")
    assert result.exit_code == 5
    assert result.stdout.startswith("unknown: no privilege")
    assert len(result.stdout) <= BRIEF + 1


@pytest.mark.parametrize("name", ["capture.json", "capture.json.gz"])
def test_what_bundle_writes_replay_reads(run, host, tmp_path, name):
    file = tmp_path / name
    written = run("bundle", "-O", file)
    assert written.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (file.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")
    replayed = run("replay", file, "-o", "json")
    assert replayed.exit_code == 1
    assert json.loads(replayed.stdout)["findings"][0]["code"] == "input-reject"


def test_a_bundle_through_a_pipe(run, host):
    content = run("bundle", "-O", "-").stdout_bytes
    assert json.loads(content)["schema"] == "kubereach.dev/capture/v1"
    assert run("replay", "-", input=content).exit_code == 1
    assert run("replay", "-", input=gzip.compress(content)).exit_code == 1


def test_replaying_twice_gives_the_same_bytes(run, capture, tmp_path):
    file = tmp_path / "capture.json"
    file.write_text(as_json(capture))
    assert run("replay", file, "-o", "json").stdout == run("replay", file, "-o", "json").stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not json", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"{}", "has the schema None"),
        (b"[]", "has the schema None"),
        (b'{"schema": "kubereach.dev/report/v1"}', "has the schema 'kubereach.dev/report/v1'"),
        (b'{"schema": "kubereach.dev/capture/v1"}', "is missing"),
        (gzip.compress(b"{}")[:-4], "ends too early"),
        (b"\x1f\x8bgarbage", "is damaged"),
        (b"", "is not JSON"),
    ],
    ids=["text", "deep", "bytes", "no schema", "list", "report", "nothing in it", "cut", "damaged", "empty"],
)
def test_a_file_that_is_no_capture_is_a_sentence_and_exit_code_5(run, tmp_path, content, said):
    file = tmp_path / "capture"
    file.write_bytes(content)
    result = run("replay", file)
    assert result.exit_code == 5
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_file_that_unpacks_to_too_much_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr("agent.cli.diagnose.LIMIT", 1000)
    file = tmp_path / "bomb.gz"
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as stream:
        stream.write(b"0" * 100_000)
    file.write_bytes(buffer.getvalue())
    result = run("replay", file)
    assert (result.exit_code, "larger than 1000 bytes" in result.stderr) == (5, True)


def test_a_file_that_is_not_there(run, tmp_path):
    result = run("replay", tmp_path / "none")
    assert result.exit_code == 5
    assert "No such file or directory" in result.stderr


def test_a_place_that_cannot_be_written(run, host, tmp_path):
    result = run("bundle", "-O", tmp_path / "none" / "capture.json")
    assert result.exit_code == 5
    assert "No such file or directory" in result.stderr
