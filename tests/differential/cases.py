"""Disagreements that were found, kept as files: one firewall, one packet. What was wrong once is tried again for ever."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.differential.firewalls import Firewall, read_plain
from tests.differential.shots import Shot, read_shot

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Kept:
    """One case. `about` says in a sentence what it holds the model to; `undecided`: that no reader of the rules can know."""

    name: str
    about: str
    firewall: Firewall
    shots: tuple[Shot, ...]
    undecided: bool = False


def read_cases() -> list[Kept]:
    """All that are kept, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        plain = json.loads(path.read_text(encoding="utf-8"))
        shots = tuple(read_shot(each) for each in plain["shots"])
        found.append(Kept(path.stem, plain["about"], read_plain(plain["firewall"]), shots, plain.get("undecided", False)))
    return found


def keep(about: str, firewall: Firewall, shot: Shot, folder: Path = FOLDER) -> Path:
    """Writes a case; its name comes from what it holds, so that one case is kept once."""
    rules = {name: value for name, value in firewall.plain().items() if value}
    plain = {"about": about, "firewall": rules, "shots": [shot.plain()]}
    name = sha256(json.dumps([rules, shot.plain()]).encode()).hexdigest()[:8]
    path = folder / f"found-{name}.json"
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return path
