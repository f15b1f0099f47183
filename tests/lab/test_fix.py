"""The guarded fix on stage: the incident from plan to expiry, every guard and fault, kills at random moments, other writers."""

import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.fixing.__main__ import BACKENDS, INCIDENTS, as_it_has_to_be, in_lab, kill_matrix, table
from tests.lab.fixing.cases import CASES
from tests.lab.staged import KUBEREACH, PRIVILEGES, command, run, served

# All cases of a backend share one lab: staging takes longer than most of them.
PATIENCE = 900
FIX = shlex.join([*KUBEREACH, "fix"])


@cache
def labs() -> dict[tuple[str, int], Future[dict[str, str]]]:
    """As many at once as there are processors: half of their time they wait for a lease to end."""
    pool = ThreadPoolExecutor(os.cpu_count())
    found = {
        (backend, version): pool.submit(in_lab, "cases", backend, version=version, timeout=PATIENCE)
        for backend in BACKENDS
        for version in INCIDENTS
    }
    pool.shutdown(wait=False)
    return found


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("version", INCIDENTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_on_the_node(backend: str, version: int, name: str) -> None:
    found = labs()[backend, version].result()
    assert not found[name], found[name]


@pytest.mark.timeout(PATIENCE)
def test_whoever_is_killed_access_ends_with_the_lease_and_nothing_is_left() -> None:
    ours, theirs = kill_matrix(200, 20)
    print(table(ours, theirs))
    assert ours["runs"] >= 200
    assert ours["pod got through"] > 0, "no run was killed while its rule was in: this proves nothing"
    assert (ours["late"], ours["residue"]) == (0, 0)
    assert theirs["late"] > 0, "the peer leaves it open where it is killed; if not, the comparison is not one"


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_write_of_either_side_is_lost(backend: str) -> None:
    seen = in_lab("lost_updates", backend, 500, "kubereach")
    assert seen["foreign"] >= 500
    assert seen["ours"] > 0
    assert (seen["foreign lost"], seen["foreign failed"], seen["ours lost"]) == (0, 0, 0)


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_restarts_leave_a_fix_as_it_is(backend: str) -> None:
    seen = in_lab("restarts", backend, 2, 2, 1, timeout=PATIENCE)
    assert (seen["kills"], seen["ends"], seen["crashes"]) == (2, 2, 1)
    assert as_it_has_to_be("restarts", seen), seen


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_told_to_end_it_takes_a_fix_out_where_that_is_asked(backend: str) -> None:
    seen = in_lab("reverting", backend, 2, timeout=PATIENCE)
    print(seen)
    assert seen["ends"] == 2
    assert as_it_has_to_be("reverting", seen), seen


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_crowd_gets_one_rule_and_writers_lose_none(backend: str) -> None:
    seen = in_lab("operators", backend, 1, 20, timeout=PATIENCE)
    assert seen["rounds"] == 1
    assert seen["open"] > 0
    assert as_it_has_to_be("operators", seen), seen


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pod_with_many_rules_costs_the_node_nothing(backend: str) -> None:
    seen = in_lab("memory", backend, 3, timeout=PATIENCE)
    assert sum(seen["looks"].values()) == 3
    assert as_it_has_to_be("memory", seen), seen


@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("incident", "program"), [("centos-reject", "iptables"), ("ipv6-reject", "ip6tables")])
def test_the_incident_from_plan_to_expiry_on_the_command_line(incident: str, program: str, backend: str) -> None:
    script = f"""
    {FIX} plan -o json > /run/lab/plan.json
    {FIX} apply --plan /run/lab/plan.json; echo "without leave: $?"
    export KUBEREACH_ALLOW_FIX=1 KUBEREACH_TRIAL=30
    {FIX} apply --plan /run/lab/plan.json -o json > /run/lab/fix.json; echo "applied: $?"
    {FIX} apply --plan /run/lab/plan.json -o json > /run/lab/again.json; echo "again: $?"
    {program}-{backend}-save | grep -c kubereach: | sed 's/^/rules: /'
    id=$({sys.executable} -c 'import json; print(json.load(open("/run/lab/fix.json"))["id"])')
    {FIX} confirm $id --for 15; echo "confirmed: $?"
    {shlex.join(KUBEREACH)} diagnose --brief
    sleep 16
    {shlex.join(KUBEREACH)} diagnose --brief
    {program}-{backend}-save | grep -c kubereach: | sed 's/^/dead rules: /'
    {FIX} list -o json > /run/lab/list.json; echo "listed: $?"
    {FIX} audit verify; echo "verified: $?"
    {program}-{backend}-save | grep kubereach: ; echo "left: $?"
    cat /run/lab/again.json
    """
    # Ten commands and a lease: more than the patience that is enough for one.
    argv = command(PRIVILEGES[0], "lab", "run", incident, "--backend", backend, "--", "sh", "-c", script)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=170, check=False)
    out = done.stdout
    for line in (
        "without leave: 4",
        "applied: 0",
        "again: 0",
        "rules: 1",
        "dead rules: 1",
        "confirmed: 0",
        "listed: 0",
        "verified: 0",
        "left: 1",
    ):
        assert line in out.splitlines(), (line, out, done.stderr)
    states = re.findall(r"^(reachable|blocked)", out, re.MULTILINE)
    assert states == ["reachable", "blocked"], (out, done.stderr)
    assert json.loads(out[out.rindex("\n{") :])["known"] is True


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_operators_on_the_command_line_get_one_fix_and_the_log_tells_of_tampering(backend: str) -> None:
    script = f"""
    export KUBEREACH_ALLOW_FIX=1 KUBEREACH_TRIAL=3600
    for plan in 1 2; do {FIX} plan -o json > /run/lab/plan$plan.json; done
    for number in 1 2 3 4; do
        {FIX} apply --plan /run/lab/plan$((number % 2 + 1)).json -o json > /run/lab/fix$number.json &
    done
    wait
    iptables-{backend}-save | grep -c kubereach: | sed 's/^/rules: /'
    cat /run/lab/fix?.json | sed -n 's/^  "id": "\\(.*\\)".*/\\1/p' > /run/lab/ids
    wc -l < /run/lab/ids | sed 's/^ */answers: /'
    sort -u /run/lab/ids | wc -l | sed 's/^ */ids: /'
    id=$(head -n 1 /run/lab/ids)
    for number in 1 2; do {FIX} confirm $id --for 600; echo "confirmed: $?"; done
    for number in 1 2; do {FIX} revert $id; echo "reverted: $?"; done
    {FIX} audit verify; echo "whole: $?"
    sed -i '2s/applied/denied!/; 2s/intent/intend/' /run/lab/state/audit.jsonl
    {FIX} audit verify; echo "edited: $?"
    """
    argv = command(PRIVILEGES[0], "lab", "run", "centos-reject", "--backend", backend, "--", "sh", "-c", script)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    lines = done.stdout.splitlines()
    for line in ("rules: 1", "answers: 4", "ids: 1", "whole: 0", "edited: 1"):
        assert line in lines, (line, done.stdout, done.stderr)
    assert (lines.count("confirmed: 0"), lines.count("reverted: 0")) == (2, 2), (done.stdout, done.stderr)


@pytest.mark.timeout(300)
def test_the_incident_over_http_with_two_operators() -> None:
    with (
        served(PRIVILEGES[0], "centos-reject", "--allow-fix") as lab,
        httpx.Client(base_url=lab.url, timeout=60.0) as client,
    ):
        assert client.get("/v1/verdict").status_code == 503
        plan = client.post("/v1/plans").raise_for_status().json()
        assert plan["blast_radius"] == {"tried": 200, "changed": []}
        assert {plan["before"]["twin"], plan["before"]["model"], plan["after"]["twin"]} == {"REJECT", "ACCEPT"}
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.post("/v1/fixes", json={"plan": plan["id"]}), range(16)))
        assert sorted({answer.status_code for answer in answers}) == [200, 201]
        (fix_id,) = {answer.json()["id"] for answer in answers}
        assert client.get("/v1/verdict").status_code == 200
        explained = client.get("/v1/report").json()["explanation"]
        assert (explained["verdict"], fix_id in explained["decided_by"]["text"]) == ("ACCEPT", True), explained
        fix: dict[str, Any] = client.post(f"/v1/fixes/{fix_id}/confirm", json={"lease": 600}).raise_for_status().json()
        assert fix["state"] == "confirmed"
        for _ in range(2):
            assert client.delete(f"/v1/fixes/{fix_id}").raise_for_status().json()["state"] == "reverted"
        assert client.get("/v1/verdict").status_code == 503
        refusals = {
            "/v1/fixes": (404, {"plan": "000000000000"}),
            f"/v1/fixes/{fix_id}/confirm": (409, {"lease": 60}),
            "/v1/fixes/000000000000/confirm": (404, {"lease": 60}),
        }
        for path, (status, body) in refusals.items():
            answer = client.post(path, json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
        for lease in (0, -1, 86401, 10**12, 1.5, "60", None, True):
            assert client.post(f"/v1/fixes/{fix_id}/confirm", json={"lease": lease}).status_code == 422


@pytest.mark.parametrize(
    ("incident", "backend", "words"),
    [
        ("firewalld-nft", "nft", "firewall-cmd"),
        ("reply-drop-output", "legacy", "nothing to open|cannot help"),
        ("kubelet-down", "nft", "cannot help"),
        ("healthy", "nft", "nothing to open"),
    ],
)
def test_where_an_accept_cannot_help_there_is_no_plan(incident: str, backend: str, words: str) -> None:
    script = f"{FIX} plan; echo $?; iptables-{backend}-save | grep -c kubereach:"
    done = run(PRIVILEGES[0], "lab", "run", incident, "--backend", backend, "--", "sh", "-c", script)
    assert done.stdout.split() == ["4", "0"], (done.stdout, done.stderr)
    assert re.search(words, done.stderr), done.stderr


@pytest.mark.parametrize("incident", ["drop-policy", "reject-bare", "allowed-node-subnet-only", "allow-after-reject"])
def test_other_incidents_are_mended_as_well(incident: str) -> None:
    connect = f"{shlex.join(KUBEREACH)} diagnose --brief"
    script = f"{FIX} apply --allow-fix && {connect}"
    done = run(PRIVILEGES[0], "lab", "run", incident, "--backend", "legacy", "--", "sh", "-c", script)
    assert "reachable" in done.stdout, (done.stdout, done.stderr)


@pytest.mark.timeout(PATIENCE)
def test_the_demo_prints_what_the_readme_shows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.lab.demo"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (recorded,) = re.findall(r"`make demo` runs this, unattended:\n\n```\n(.*?)\n```\n", readme, re.DOTALL)
    assert _timeless(done.stdout) == _timeless(recorded)


def _timeless(session: str) -> list[str]:
    """A session without what differs from run to run: ids and times."""
    return re.sub(r"\b[0-9a-f]{12}\b|\d{4}-\d\d-\d\dT[\d:]+Z", "...", session).strip().splitlines()
