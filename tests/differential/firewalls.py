"""A firewall of the test as lines, one rule each, so that it can be stored, read by people, and made smaller line by line.

`legacy` and `nft_save` are lines of iptables in the form of `tests.lab.kernel_truth.restore_text`: `filter INPUT DROP` is a
policy, `filter A` a chain, `filter INPUT -s ... -j A` a rule. `native` are commands of nft.
"""

from dataclasses import asdict, dataclass
from typing import Any

from agent.model.capture import LEGACY_SAVE, LEGACY_SAVE6, NFT_JSON, NFT_SAVE, NFT_SAVE6
from tests.lab.kernel_truth import Load, restore_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """All rules of one node. `version` is that of the iptables lines; `stateful` says that some rule asks for what only the
    kernel knows, so that the model may answer UNDECIDED.
    """

    version: int = 4
    legacy: tuple[str, ...] = ()
    nft_save: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    stateful: bool = False

    @property
    def load(self) -> Load:
        """The commands that load it, with their input."""
        tool = "iptables" if self.version == 4 else "ip6tables"
        found: Load = []
        if self.legacy:
            found.append(([f"{tool}-legacy-restore"], restore_text("\n".join(self.legacy))))
        if self.nft_save:
            found.append(([f"{tool}-nft-restore"], restore_text("\n".join(self.nft_save))))
        if self.native:
            found.append((["nft", "-f", "-"], "\n".join(self.native) + "\n"))
        return found

    @property
    def readings(self) -> list[str]:
        """What has to be read to know all of it."""
        four = self.version == 4
        legacy = [LEGACY_SAVE if four else LEGACY_SAVE6] if self.legacy else []
        save = [NFT_SAVE if four else NFT_SAVE6] if self.nft_save else []
        return [*legacy, *save, *([NFT_JSON] if self.nft_save or self.native else [])]

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions of packets that its rules may speak of."""
        return (self.version,) if self.legacy or self.nft_save else (4, 6)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def read_plain(plain: dict[str, Any]) -> Firewall:
    """A firewall from its JSON."""
    return Firewall(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})
