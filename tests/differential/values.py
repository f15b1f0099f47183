"""The values that random rules ask for: near enough to those of the packets that rules match about as often as not."""

from ipaddress import ip_address
from random import Random

from tests.differential.shots import DESTINATIONS, PORTS, SOURCES

PATTERNS = ("cni0", "eth0", "eth01", "lo", "cni+", "eth+", "eth0+", "c+", "e+", "lo+", "cni", "eth00")
# Few, so that what one rule writes another asks for.
MARKS = (0, 1, 2, 3, 0x4000, 0x4001, 0xFFFFFFFF)


class Values:
    """Draws values from one random number generator."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def chance(self, odds: float) -> bool:
        """True so often."""
        return self.random.random() < odds

    def address(self, version: int, *, source: bool) -> str:
        """One of the packets' addresses."""
        return self.random.choice((SOURCES if source else DESTINATIONS)[version])

    def network(self, version: int, *, source: bool) -> str:
        """An address and a prefix length that contains one of the packets' addresses."""
        bits = 32 if version == 4 else 128
        length = self.random.choice((bits, bits, bits * 3 // 4, bits // 2, bits // 4, self.random.randrange(1, bits + 1)))
        address = int(ip_address(self.address(version, source=source)))
        return f"{self._written(address & ~((1 << bits - length) - 1), version)}/{length}"

    def odd_mask(self, version: int, *, source: bool) -> tuple[str, str]:
        """An address and a mask with holes."""
        bits = 32 if version == 4 else 128
        mask = self.random.getrandbits(bits) | self.random.getrandbits(bits)
        if self.chance(0.5):
            mask = (1 << bits) - 1 ^ 0xFF << 8 * self.random.randrange(bits // 8)
        address = int(ip_address(self.address(version, source=source)))
        return self._written(address & mask, version), self._written(mask, version)

    def span(self, version: int, *, source: bool) -> tuple[str, str]:
        """Two addresses, the first not above the second."""
        one, other = (int(ip_address(self.address(version, source=source))) for _ in range(2))
        one, other = min(one, other) - self.random.choice((0, 1, 5)), max(one, other) + self.random.choice((0, 0, 3))
        return self._written(one, version), self._written(other, version)

    def port(self) -> int:
        """One of the packets' ports."""
        return self.random.choice(PORTS)

    def ports(self) -> tuple[int, int]:
        """Two ports, the first below the second."""
        one, other = sorted((self.port(), self.random.choice((self.port(), self.random.randrange(65536)))))
        return one, other + (one == other)

    def _written(self, number: int, version: int) -> str:
        return str(ip_address(number.to_bytes(4 if version == 4 else 16, "big")))
