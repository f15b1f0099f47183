"""Feeds broken texts to the readers of firewalls, which must never raise; for as long as one likes.

    python -m tests.fuzz.parsers --inputs 1000000 --seed 7

prints its seed and how far it is. A text that fails is written to tests/fuzz/corpus, where the tests replay it from then on.
"""

import argparse
import hashlib
import secrets
import sys
import traceback
from pathlib import Path
from random import Random

from agent.analysis.readers import parse_iptables, parse_nft, slots
from agent.analysis.readers.iptables_rule import read_words
from agent.analysis.readers.read import RefusedInput, read_texts
from agent.analysis.readers.tokens import words
from agent.model.ruleset import Backend, Ruleset
from tests.fuzz.mutation import make_save, make_text

CORPUS = Path(__file__).parent / "corpus"
_REPORT_EVERY = 20_000


def check(text: str, save: str, family: str) -> None:
    """All readers on one text; `save` fills what the text, read as nft's, hides. Raises what they raise, and when they lie."""
    ruleset = parse_iptables.parse(text, Backend.LEGACY, family)
    _check_rules(ruleset, family)
    nft = parse_nft.parse(text)
    filled = slots.fill(nft, parse_iptables.parse(save, Backend.NFT, family), family)
    assert [len(chain.rules) for table in filled.tables for chain in table.chains] == [
        len(chain.rules) for table in nft.tables for chain in table.chains
    ]
    for texts in ([("text", text)], [("text", text), ("save", save)]):
        try:
            read_texts(texts)
        except RefusedInput as refusal:
            assert str(refusal)  # noqa: PT017 - a refusal is an answer, and this is what it owes


def _check_rules(ruleset: Ruleset, family: str) -> None:
    """A rule says the same whether it was read by its shape or word by word, and counts from 1 in its chain."""
    for table in ruleset.tables:
        names = frozenset(chain.name for chain in table.chains)
        for chain in table.chains:
            assert [rule.number for rule in chain.rules] == list(range(1, len(chain.rules) + 1))
            for rule in chain.rules:
                if rule.text.startswith(("-A", "--append")):
                    reading = read_words(words(rule.text)[2:], family, names)
                    assert (rule.statements, rule.comment) == (reading.statements, reading.comment), rule.text


def run(inputs: int, seed: int) -> list[Path]:
    """Checks that many inputs; the files of those that failed."""
    random, failed = Random(seed), set[Path]()
    for count in range(1, inputs + 1):
        text, save, family = make_text(random), make_save(random), random.choice(("ip", "ip6"))
        try:
            check(text, save, family)
        except Exception:  # noqa: BLE001 - whatever a reader raises is what is looked for
            failed.add(_keep(text))
            traceback.print_exc()
        if count % _REPORT_EVERY == 0:
            sys.stdout.write(f"{count} inputs, {len(failed)} failed\n")
            sys.stdout.flush()
    return sorted(failed)


def _keep(text: str) -> Path:
    data = text.encode(errors="surrogateescape")
    path = CORPUS / f"{hashlib.sha256(data).hexdigest()[:16]}.txt"
    path.write_bytes(data)
    return path


def main() -> int:
    """Runs the fuzzer; 1 when an input failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    sys.stdout.write(f"seed {seed}\n")
    failed = run(options.inputs, seed)
    sys.stdout.write(f"{options.inputs} inputs with seed {seed}: {len(failed)} failed\n")
    sys.stdout.writelines(f"{path}\n" for path in failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
