"""P16: a loop that restores kube-proxy's whole nat table, alone and while somebody has the node diagnosed every second."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from agent.model.ruleset import Backend
from tests.bench.results import Claim, Effort, NotMeasured, Row
from tests.bench.sampling import interleave, milliseconds
from tests.bench.world import World, nat_rules, staged

_EACH = 1
_EVERY = 1.0


def measure(effort: Effort) -> Row:
    """Restores with and without, in turn; the diagnoses may say what they like of rules that move under them."""
    rules = nat_rules(effort.churned, elsewhere=False)
    answered: list[float] = []
    with staged("healthy", Backend.NFT) as world:

        def restore() -> float:
            return milliseconds(lambda: world.on_node("iptables-nft-restore", stdin=rules))

        def restore_watched() -> float:
            with _diagnosed(world, answered):
                return restore()

        restore()
        measures = interleave({"restore alone": restore, "restore while diagnosed": restore_watched}, effort.rounds, _EACH)
    alone, watched = measures
    if not answered:
        raise NotMeasured("no diagnosis ended while the rules were restored")
    return Row(
        id="P16",
        what=f"iptables-nft-restore of {effort.churned} services in a loop, diagnosed at 1 Hz",
        measures=tuple(measures),
        claims=(Claim(words="with diagnoses / without", value=watched.median / alone.median, limit=1.01, ratio=True),),
        note=f"{len(answered)} diagnoses ended meanwhile",
    )


@contextmanager
def _diagnosed(world: World, answered: list[float]) -> Iterator[None]:
    """Somebody asks every second, whatever the answer is, while this lasts."""
    ended = Event()

    def ask() -> None:
        client = world.client()
        while not ended.is_set():
            answered.append(milliseconds(lambda: client.ask("POST", "/v1/diagnoses", {})))
            ended.wait(max(0.0, _EVERY - answered[-1] / 1000))

    asking = Thread(target=ask, name="asker")
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()
