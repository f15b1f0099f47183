"""Makes hostile texts out of valid ones: bytes flipped, cut, spliced, tokens doubled; and trees of JSON bent in their nodes.

Everything hangs on the random number generator that is given, so that a seed and a count name an input.
"""

import json
from copy import deepcopy
from random import Random
from typing import Any

from tests.fuzz.seeds import EXPRESSIONS, OBJECTS, SAVE_LINES, listing

_SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**64, "", "*", "@", "@blocked", "\\*", "10.0.0.0/8", "tcp", [], {}, [[]], {"set": []},
    "\ud800",
)  # fmt: skip
_BYTES = (b'"', b"\\", b"!", b"\n", b" ", b"\t", b"-", b"--", b":", b"/", b",", b"\x00", b"\xff", b"\xc3\xa9", b"[", b"{", b"=")


def make_text(random: Random) -> str:
    """One input: iptables' text or nft's JSON, more or less broken."""
    kind = random.random()
    if kind < 0.05:
        return random.randbytes(random.randrange(80)).decode(errors="surrogateescape")
    text = _bent_listing(random) if kind < 0.35 else _lines(random)
    return text if random.random() < 0.3 else _broken(random, text)


def make_save(random: Random) -> str:
    """iptables-save's text that often has as many rules as a listing has."""
    rules = [line for line in random.choices(SAVE_LINES, k=3) if line.startswith("-A INPUT")]
    return "\n".join(("*filter", ":INPUT DROP [5:300]", *rules, "COMMIT", ""))


def _lines(random: Random) -> str:
    head = ["*filter", ":INPUT ACCEPT [0:0]", ":KUBE-X - [0:0]"] if random.random() < 0.7 else []
    chosen = random.choices(SAVE_LINES, k=random.randrange(1, 5))
    if random.random() < 0.3:  # rules of one shape, which are read by another way
        chosen += [chosen[-1]] * random.randrange(1, 3)
    return "\n".join(head + chosen)


def _bent_listing(random: Random) -> str:
    rules = [random.choices(EXPRESSIONS, k=random.randrange(1, 5)) for _ in range(random.randrange(1, 3))]
    objects = list(OBJECTS) if random.random() < 0.5 else random.sample(OBJECTS, random.randrange(len(OBJECTS)))
    text = listing(objects, rules)
    if random.random() < 0.2:
        return text
    tree = json.loads(text)
    for _ in range(random.randrange(1, 4)):
        _bend(random, tree)
    return json.dumps(tree)


def _bend(random: Random, tree: Any) -> None:
    """Replaces, doubles, drops or moves one node; the way down to it is chosen step by step."""
    node = tree
    while True:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = random.choice(keys)
        child = node[key]
        if not isinstance(child, dict | list) or random.random() < 0.2:
            break
        node = child
    choice = random.randrange(5)
    if choice == 0:
        del node[key]
    elif choice == 1:
        node[key] = deepcopy(random.choice(_SCALARS))
    elif choice == 2:
        node[key] = deepcopy(random.choice(EXPRESSIONS))
    elif choice == 3:
        node[key] = [child, deepcopy(child)]
    elif isinstance(node, dict):
        node[random.choice(("set", "elem", "concat", "&", "range", "flags", "key"))] = deepcopy(child)


def _broken(random: Random, text: str) -> str:
    data = bytearray(text.encode(errors="surrogatepass" if "\ud800" in text else "surrogateescape"))
    for _ in range(random.randrange(1, 5)):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.randrange(1, 12))
        choice = random.randrange(6)
        if choice == 0 and start < len(data):
            data[start] ^= 1 << random.randrange(8)
        elif choice == 1:
            del data[start:end]
        elif choice == 2:
            data[start:start] = random.choice(_BYTES)
        elif choice == 3:
            other = random.choice(SAVE_LINES).encode()
            at = random.randrange(len(other))
            data[start:end] = other[at : at + random.randrange(1, 30)]
        elif choice == 4:
            del data[start:]
        else:
            tokens = bytes(data).split(b" ")
            tokens.insert(random.randrange(len(tokens)), random.choice(tokens))
            data = bytearray(b" ".join(tokens))
    return data.decode(errors="surrogateescape")
