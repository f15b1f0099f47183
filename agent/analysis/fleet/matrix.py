"""Who reaches whose kubelet, node by node, from the connects that each node's agent made."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from agent.model.fleet import Cell, Matrix
from agent.model.reach import Reach


def build_matrix(reaches: Iterable[Reach], failures: Mapping[str, str] | None = None) -> Matrix:
    """From each node's vantage points: its pods to its own kubelet, and to its neighbours'. `failures`: who gave no answer."""
    answers = sorted((each for each in reaches if each.state), key=lambda each: each.node)
    owners = {address: each.node for each in answers for address in each.node_addresses}
    cells: dict[tuple[str, str], Cell] = {}
    strangers = set()
    for answer in answers:
        for vantage in answer.vantages:
            if vantage.vantage == "host" or vantage.source in answer.node_addresses:
                continue
            address = _address(vantage.to)
            target = answer.node if vantage.vantage == "pod" else owners.get(address)
            if target is None:
                strangers.add(address)
            else:
                # Of several pods the one that does not get through is shown.
                known = cells.get((answer.node, target))
                if known is None or known.outcome == "open":
                    cells[answer.node, target] = Cell(source=answer.node, target=target, outcome=vantage.outcome)
    return Matrix(
        nodes=tuple(each.node for each in answers),
        cells=tuple(cells.values()),
        strangers=tuple(sorted(strangers)),
        failures=dict(sorted((failures or {}).items())),
    )


def _address(to: str) -> str:
    """The address of `address:port` or `[address]:port`, as the API writes it."""
    host = to.rpartition(":")[0].strip("[]")
    try:
        return str(ip_address(host))
    except ValueError:
        return host
