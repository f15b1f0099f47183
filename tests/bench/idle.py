"""P7: processor time of a service that only watches, beside a node_exporter that is scraped as often.

Ten minutes of it: it begins before the other rows and ends after them. Its own load is a few thousandths of a processor.
"""

import time
from contextlib import ExitStack
from threading import Event, Thread

from agent.model.ruleset import Backend
from tests.bench import references
from tests.bench.client import Client
from tests.bench.results import Claim, Effort, Row
from tests.bench.sampling import Measure
from tests.bench.tree import cpu_seconds
from tests.bench.world import staged

_INTERVAL = 30.0


class Idle:
    """Watches while other rows are measured. A context manager; `finish` waits for the rest of the time."""

    def __init__(self, effort: Effort) -> None:
        self._effort, self._stack, self._ended = effort, ExitStack(), Event()

    def __enter__(self) -> "Idle":
        with ExitStack() as stack:
            self._world = stack.enter_context(staged("healthy", Backend.NFT, interval=_INTERVAL))
            client, self._exporter = stack.enter_context(references.node_exporter(self._world))
            scraper = Thread(target=self._scrape, args=(client,), name="scraper")
            # The first look leads to a whole diagnosis, which is none of an idle service's business.
            self._world.client().diagnose()
            self._start, self._before = time.monotonic(), self._used()
            scraper.start()
            stack.callback(scraper.join)
            stack.callback(self._ended.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def finish(self, _: Effort) -> Row:
        """The row, once the time is over."""
        time.sleep(max(0.0, self._effort.idle_seconds - (time.monotonic() - self._start)))
        seconds = time.monotonic() - self._start
        ours, theirs = ((after - before) / seconds * 1000 for before, after in zip(self._before, self._used(), strict=True))
        names = (f"kubereach, watching every {_INTERVAL:g} s", "node_exporter, scraped as often")
        return Row(
            id="P7",
            what=f"idle processor time over {seconds / 60:.0f} min",
            measures=tuple(
                Measure(subject=name, unit="millicores", values=(value,))
                for name, value in zip(names, (ours, theirs), strict=True)
            ),
            claims=(Claim(words="watching", value=ours, limit=2.0, unit="millicores"),),
            note="beside the other rows, so that caches are colder than on an idle node",
        )

    def _used(self) -> tuple[float, float]:
        return cpu_seconds(self._world.processes()), cpu_seconds([self._exporter])

    def _scrape(self, client: Client) -> None:
        while not self._ended.wait(_INTERVAL):
            client.ask("GET", "/metrics")
