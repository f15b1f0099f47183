"""A capture comes out of its package as it went in, and a large one is small in it."""

import pickle
from dataclasses import replace

from agent.model.capture import NFT_PART, NFT_SAVE, Firewall, PartReading, Reading
from agent.model.outline import Part
from agent.service.packed import Packed

RULES = "".join(
    f"-A KUBE-SERVICES -d 10.96.{number}.7/32 -m comment --comment \udcff -j KUBE-SVC\n" for number in range(20_000)
)


def reading(text, name=NFT_SAVE):
    return Reading(name=name, argv=(name,), status=0, stdout=text)


def parts(*texts):
    chain = Part(kind="chain", family="ip", table="nat", name="KUBE-SERVICES")
    return tuple(
        PartReading(part=chain, listing=reading(text, NFT_PART), save=reading(text) if text else None) for text in texts
    )


def test_an_ordinary_capture_is_kept_as_it_is(capture):
    assert Packed(capture).unpack() is capture


def test_a_large_one_comes_out_as_it_went_in(capture):
    before = replace(capture.before, readings=(reading(RULES), *capture.before.readings, reading("")), parts=parts("", RULES))
    for between in (None, Firewall(), Firewall(readings=(reading("small"), reading(RULES + "#")))):
        large = replace(capture, before=before, between=between)
        packed = Packed(large)
        assert packed.unpack() == large
        assert len(pickle.dumps(packed._capture)) + sum(map(len, packed._texts.values())) < len(RULES) / 5
