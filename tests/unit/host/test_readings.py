"""The readings that the twin may ask for by name."""

from dataclasses import replace

from agent.host import readings
from agent.host.in_parts import Held
from agent.host.readings import Readings
from agent.model.capture import NFT_JSON, Firewall, Reading


def firewall(text: str) -> Firewall:
    return Firewall(readings=(Reading(name=NFT_JSON, argv=("nft",), status=0, stdout=text),))


def test_a_reading_is_found_by_its_digest_until_newer_ones_push_it_out():
    kept = Readings()
    texts = [firewall(str(number)) for number in range(4)]
    for item in texts:
        kept.keep(Held(item))
    assert [kept.find(item.digest()) for item in texts] == [None, *map(Held, texts[1:])]
    kept.keep(Held(texts[1]))
    kept.keep(Held(firewall("new")))
    assert kept.find(texts[1].digest()) == Held(texts[1])
    in_part = Held(texts[1], (("ip", "nat", "A"),), in_part=True)
    kept.keep(in_part)
    assert kept.find(texts[1].digest()) == in_part


def test_one_that_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(readings, "_LIMIT", 3)
    kept, large = Readings(), firewall("1234")
    kept.keep(Held(large))
    assert kept.find(large.digest()) is None


def test_both_readings_of_a_look_are_kept_and_a_third_where_there_is_space(monkeypatch):
    monkeypatch.setattr(readings, "_LIMIT", 5)
    kept, items = Readings(), [firewall(text) for text in ("123", "456", "789", "a", "b")]
    for item in items[:3]:
        kept.keep(Held(item))
    assert [kept.find(item.digest()) is not None for item in items[:3]] == [False, True, True]
    for item in items[3:]:
        kept.keep(Held(item))
    assert [kept.find(item.digest()) is not None for item in items] == [False, False, True, True, True]


def test_the_digest_tells_readings_apart_by_every_byte():
    one = firewall("a\udcff")
    status = Firewall(readings=(replace(one.readings[0], status=1),))
    assert len({item.digest() for item in (one, status, firewall("a"), Firewall())}) == 4
    assert one.digest() == firewall("a\udcff").digest()
