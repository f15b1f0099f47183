"""The model held to the kernel: the same firewall, the same SYN, the same verdict, reply, errno and deciding rule.

Every case is loaded into a real kernel's netfilter in a throwaway namespace, a real connect is made, and the counters say
which rules it met. Where the two differ, the model is wrong.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6
from tests.lab import kernel_node
from tests.lab.kernel_cases import IP6TABLES, IPTABLES, Case
from tests.lab.kernel_nft_cases import MIXED, NFT
from tests.lab.kernel_table_cases import OTHER_TABLES
from tests.lab.kernel_truth import Kernel, Load, ask, hold, restore_text


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    found = Kernel()
    yield found
    found.close()


@pytest.mark.parametrize("case", [*IPTABLES, *OTHER_TABLES], ids=lambda case: case.name)
@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_iptables(kernel: Kernel, case: Case, backend: str) -> None:
    readings = [LEGACY_SAVE] if backend == "legacy" else [NFT_SAVE, NFT_JSON]
    hold(case, *ask(kernel, case, [([f"iptables-{backend}-restore"], restore_text(case.rules))], readings))


@pytest.mark.parametrize("case", IP6TABLES, ids=lambda case: case.name)
@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_ip6tables(kernel: Kernel, case: Case, backend: str) -> None:
    readings = [LEGACY_SAVE6] if backend == "legacy" else [NFT_SAVE6, NFT_JSON]
    hold(case, *ask(kernel, case, [([f"ip6tables-{backend}-restore"], restore_text(case.rules))], readings))


@pytest.mark.parametrize("case", NFT, ids=lambda case: case.name)
def test_nft(kernel: Kernel, case: Case) -> None:
    hold(case, *ask(kernel, case, [(["nft", "-f", "-"], case.rules)], [NFT_JSON]))


@pytest.mark.parametrize("case", MIXED, ids=lambda case: case.name)
def test_backends_together(kernel: Kernel, case: Case) -> None:
    legacy, save, native = case.rules.split("---")
    load: Load = [
        (["iptables-legacy-restore"], restore_text(legacy)),
        (["iptables-nft-restore"], restore_text(save)),
        (["nft", "-f", "-"], native),
    ]
    hold(case, *ask(kernel, case, load, [LEGACY_SAVE, NFT_SAVE, NFT_JSON]))


def test_a_packet_without_known_local_addresses_gets_no_other_verdict(kernel: Kernel) -> None:
    case = next(each for each in IPTABLES if each.name == "stock chain")
    truth, packet = ask(kernel, case, [(["iptables-nft-restore"], restore_text(case.rules))], [NFT_SAVE, NFT_JSON])
    hold(case, truth, replace(packet, local=()))


def test_the_node_side_shares_no_code_with_the_model() -> None:
    assert "import agent" not in Path(kernel_node.__file__).read_text(encoding="utf-8")
