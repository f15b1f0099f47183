"""P4: a whole ruleset read and every rule of it typed, beside the tools that print it and python-iptables."""

from collections.abc import Callable

from agent.model.ruleset import Backend
from tests.bench.results import Claim, Effort, NotMeasured, Row, rules_of
from tests.bench.sampling import Measure, interleave, milliseconds
from tests.bench.world import PYTHON, World, staged

# python-iptables takes half a minute for 10,000: its part is measured with a quarter of that, and ours beside it.
_LESS = 20


def measure(effort: Effort) -> Row:
    """Each reading in a process of its own, timed inside; the tools as commands."""
    size, small = rules_of(effort.whole), rules_of(effort.whole // _LESS)
    measures: list[Measure] = []
    claims: list[Claim] = []
    lost: list[str] = []
    for backend, services, other, limit in (
        (Backend.NFT, effort.whole, "iptables-nft-save", 0.5),
        (Backend.LEGACY, effort.whole, "iptables-legacy-save", 1.5),
        (Backend.LEGACY, effort.whole // _LESS, "python-iptables", 1 / 20),
    ):
        count = size if services == effort.whole else small
        subject, reference = f"kubereach, {backend} {count}", f"{other}, {count}"
        with staged("healthy", backend, rules=services) as world:
            subjects = {subject: _reading(world, "kubereach", services), reference: _reference(world, other, services)}
            try:
                ours, theirs = interleave(subjects, effort.rounds)
            except NotMeasured as error:
                lost.append(f"{subject}: {error}")
                continue
        measures += [ours, theirs]
        claims.append(Claim(words=f"{subject} / {other}", value=ours.median / theirs.median, limit=limit, ratio=True))
    return Row(
        id="P4",
        what="the whole ruleset read and every rule typed",
        measures=tuple(measures),
        claims=tuple(claims),
        lost=tuple(lost),
        note="of nftables we read two prints, nft -j and iptables-nft-save, and hold one against the other",
    )


def _reference(world: World, other: str, services: int) -> Callable[[], float]:
    if other == "python-iptables":
        return _reading(world, other, services)
    return lambda: milliseconds(lambda: world.on_node(other, "-c"))


def _reading(world: World, whose: str, services: int) -> Callable[[], float]:
    def read() -> float:
        took, rules = world.on_node(*PYTHON, "tests.bench.reading_program", whose).split()
        if int(rules) < services * 8:
            raise NotMeasured(f"{whose} read {rules} rules of more than {services * 8}")
        return float(took)

    return read
