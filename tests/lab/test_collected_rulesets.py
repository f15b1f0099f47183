"""Rulesets of real machines held to the kernel: what becomes of pods' and other packets there, and by which rule.

They are other people's data and stay outside the project, beside the checkout; elsewhere this is skipped. Interfaces, ports and
senders that a ruleset speaks of are among those of its packets.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest

from agent.analysis.readers.read import RefusedInput, read_texts
from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6
from tests.differential.campaign import start_judge
from tests.differential.shots import LOCAL, PORTS, SOURCES, Scene, make_shots
from tests.differential.trial import compare, run_trial
from tests.lab.kernel_truth import Kernel, Load, RefusedRuleset

RULESETS = Path(__file__).parents[3] / "shared" / "rulesets"
INDEX = RULESETS / "INDEX.tsv"
PACKETS, AT_LEAST = 36, 20
_INTERFACE = re.compile(r'(?:-i |iifname "?|iif "?)([A-Za-z][\w.+*-]{0,14})')
_PORT = re.compile(r"--dport (\d{2,5})\b|dport (\d{2,5})\b")
_SENDER = re.compile(r"(?:-s |saddr )([0-9a-f]+[.:][0-9a-f.:]+)")
_SET = re.compile(r'--match-set ("[^"]+"|\S+)')
# What a doubt may rest on besides the kernel's state: the packet goes elsewhere, and is not walked there.
_ELSEWHERE = "changes the packet's destination"

pytestmark = pytest.mark.skipif(not INDEX.is_file(), reason="the collected rulesets are not beside this checkout")


@dataclass(frozen=True)
class Loaded:
    """A ruleset as it is loaded, in the shape that a trial asks for."""

    load: Load
    readings: list[str]
    legacy: bool
    nft_save: bool
    native: bool = False
    stateful: bool = True


@dataclass
class Summary:
    files: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.files} rulesets loaded, {len(self.refused)} refused, {dict(self.counts)}"


def loadable() -> list[tuple[str, str]]:
    """(file, backend) as the index says."""
    lines = INDEX.read_text(encoding="utf-8").splitlines()[1:] if INDEX.is_file() else []
    found = [(line.split("\t")[0], line.split("\t")[-1]) for line in lines if line.strip()]
    return [(name, backend) for name, loads in found for backend in ("legacy", "nft") if f"{backend} ok" in loads]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    found = start_judge()
    yield found
    found.close()


@pytest.fixture(scope="module")
def summary() -> Iterator[Summary]:
    found = Summary()
    yield found
    print(f"\n{found}")


@pytest.mark.parametrize("path", sorted(RULESETS.iterdir()) if INDEX.is_file() else [], ids=lambda path: path.name)
def test_is_read_or_refused_in_a_sentence(path: Path) -> None:
    assert read_in_full_or_refused(path.name, path.read_text(encoding="utf-8", errors="surrogateescape"))


def read_in_full_or_refused(name: str, text: str) -> bool:
    """Whether it gave tables, or a refusal that is a sentence; anything else is raised."""
    try:
        return bool(read_texts([(name, text)]).tables)
    except RefusedInput as refusal:
        return str(refusal).endswith(".")


@pytest.mark.parametrize(("name", "backend"), loadable())
def test_agrees_with_the_kernel(kernel: Kernel, summary: Summary, name: str, backend: str) -> None:
    text = (RULESETS / name).read_text(encoding="utf-8", errors="replace")
    loaded, versions, scene = prepare(name, text, backend)
    shots = make_shots(Random(name), versions, PACKETS, scene)
    try:
        trial = run_trial(kernel, loaded, shots, interfaces=[way for way in scene.ways if way != "lo"])
    except RefusedRuleset as refusal:
        summary.refused.append(name)
        pytest.skip(str(refusal).partition("\n")[0])
    findings = list(compare(trial))
    summary.files += 1
    summary.counts.update("undecided" if each.undecided else "disagreed" if each.faults else "agreed" for each in findings)
    assert len(findings) >= AT_LEAST
    assert [(fault, finding.shot) for finding in findings for fault in finding.faults] == []


def prepare(name: str, text: str, backend: str) -> tuple[Loaded, tuple[int, ...], Scene]:
    six = name.endswith("ip6tables-save")
    ways = [each.replace("+", "0").replace("*", "0")[:15] for each in dict.fromkeys(_INTERFACE.findall(text)) if each != "lo"][
        :5
    ]
    ports = [int(one or other) for one, other in _PORT.findall(text)]
    senders = [each for each in dict.fromkeys(_SENDER.findall(text)) if is_sender(each)]
    scene = Scene(
        ways=("cni0", "cni0", "eth0", "lo", *ways),
        ports=(*PORTS, *[port for port in dict.fromkeys(ports) if port < 1 << 16][:8]),
        sources={
            version: (*SOURCES[version], *[each for each in senders if ip_address(each).version == version][:6])
            for version in (4, 6)
        },
    )
    if name.endswith(".nft"):
        return Loaded([(["nft", "-f", "-"], text)], [NFT_JSON], legacy=False, nft_save=True), (4, 6), scene
    family = "inet6" if six else "inet"
    sets = [each.strip('"') for each in dict.fromkeys(_SET.findall(text))]
    load = (
        [(["ipset", "restore", "-exist"], "".join(f"create {each} hash:net family {family}\n" for each in sets))]
        if sets
        else []
    )
    load.append(([f"ip{'6' if six else ''}tables-{backend}-restore"], text))
    legacy = backend == "legacy"
    readings = [LEGACY_SAVE6 if six else LEGACY_SAVE] if legacy else [NFT_SAVE6 if six else NFT_SAVE, NFT_JSON]
    return Loaded(load, readings, legacy=legacy, nft_save=not legacy), (6,) if six else (4,), scene


def is_sender(text: str) -> bool:
    """Whether packets from there are let in at all: not from multicast, loopback or this node itself."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    usual = not (
        address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved or address.is_link_local
    )
    return usual and address not in LOCAL and not text.endswith((".0", ".255", "::"))
