"""Decides about bearer tokens: asks the cluster, remembers its answers to reading callers for a moment, denies in doubt.

Whoever would change something is asked about anew each time, so that a token that is revoked is revoked at once.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from agent.cluster.reviews import ReviewError
from agent.model.access import Action, User
from agent.service.clock import Clock

__all__ = ["Authority", "Judgement", "ReviewError", "Reviewer"]

# Both reviews together. Somebody waits, and an API server that needs longer is itself in trouble.
DEADLINE = 2.5
# A page and its scraper ask every few seconds; a role that is removed is felt within this time.
_AGE = 10.0
_KEPT = 256
# Reviews at once: an API server in an incident has other worries than our callers.
_AT_ONCE = 8


class Reviewer(Protocol):
    """What is asked of a cluster: `agent.cluster.reviews.Reviews`, or a stand-in. Both methods raise `ReviewError`."""

    async def who(self, token: str) -> User | None:
        """Whose token, None for nobody's."""
        ...

    async def may(self, user: User, action: Action) -> bool:
        """May they do this?"""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """`user` is None for a token that is nobody's."""

    user: User | None
    allowed: bool


class Authority:
    """Asks `reviewer`. For one event loop."""

    def __init__(self, reviewer: Reviewer, clock: Clock) -> None:
        self._reviewer, self._clock = reviewer, clock
        self._kept: OrderedDict[tuple[bytes, Action], tuple[float, Judgement]] = OrderedDict()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def remembered(self, token: str, action: Action) -> Judgement | None:
        """The answer to a reading caller, where it is young enough; costs nothing."""
        found = self._kept.get(_key(token, action))
        return found[1] if found and self._clock.monotonic() - found[0] < _AGE else None

    async def judge(self, token: str, action: Action) -> Judgement:
        """Asks the cluster within `DEADLINE` seconds. Raises `ReviewError`."""
        try:
            async with asyncio.timeout(DEADLINE), self._slots:
                user = await self._reviewer.who(token)
                judgement = Judgement(user, user is not None and await self._reviewer.may(user, action))
        except TimeoutError:
            raise ReviewError(f"The Kubernetes API did not answer within {DEADLINE:g} s.") from None
        if action.verb == "get":
            self._kept[_key(token, action)] = (self._clock.monotonic(), judgement)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return judgement


def _key(token: str, action: Action) -> tuple[bytes, Action]:
    return sha256(token.encode("utf-8", "surrogateescape")).digest(), action
