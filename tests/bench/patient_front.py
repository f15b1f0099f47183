"""The front without its limit on how often a caller may make the node look: what takes 10,000 s otherwise takes minutes."""

from agent.api import front, gate
from agent.api.permissions import Cost
from agent.service.limits import Rate

_ALL = Rate(1_000_000, 0.001)

if __name__ == "__main__":
    for cost in (Cost.LOOK, Cost.DIAGNOSIS):
        gate._EACH[cost] = gate._TOGETHER[cost] = _ALL
    raise SystemExit(front.main())
