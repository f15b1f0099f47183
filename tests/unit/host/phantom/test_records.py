"""agent.host.phantom.records: what is written down before CNI is asked, and who may take it back."""

from dataclasses import replace

import pytest

from agent.host.phantom import cni, makers, records, stand_in

NETWORK = cni.Network(
    path="/etc/cni/net.d/10-x.conflist", name="x", version="1.0.0", plugins=({"type": "bridge"},), bins=("/b",)
)
JOINT = cni.Joint(network=NETWORK, container="kubereach-phantom-1", netns=makers.myself().netns)


@pytest.fixture
def asked(monkeypatch):
    """The DELs that were asked for, but for the path of the namespace, and who was to do them."""
    seen = []

    def by(who):
        return lambda joint, result: seen.append((who, replace(joint, netns=""), result))

    monkeypatch.setattr(cni, "delete", by("cni"))
    monkeypatch.setattr(stand_in, "delete", by("stand-in"))
    return seen


def test_a_record_is_settled_once_with_what_add_answered(tmp_path, asked):
    record = records.Record(str(tmp_path), JOINT, makers.myself())
    record.note({"ips": [{"address": "10.0.0.2/24"}]})
    record.let_go()
    for _ in range(2):
        records.settle(record.path)
    assert asked == [("cni", replace(JOINT, netns=""), {"ips": [{"address": "10.0.0.2/24"}]})]
    assert list(tmp_path.rglob("*phantom-*")) == []
    assert (tmp_path / "phantoms").stat().st_mode & 0o777 == 0o700


def test_a_stranger_with_the_makers_number_is_left_alone(tmp_path, asked):
    """Its interface has the same name: the DEL is for a namespace that stands in."""
    earlier = replace(makers.myself(), started=makers.myself().started - 1)
    records.Record(str(tmp_path), JOINT, earlier).let_go()
    assert records.sweep(str(tmp_path)) == []
    assert asked == [("stand-in", replace(JOINT, netns=""), {})]


def test_a_record_that_is_held_is_not_swept(tmp_path, asked):
    record = records.Record(str(tmp_path), JOINT, makers.myself())
    assert records.sweep(str(tmp_path)) == []
    assert asked == []
    record.let_go()
    assert records.sweep(str(tmp_path)) == []
    assert len(asked) == 1


def test_a_plugin_that_fails_leaves_the_record_for_the_next_start(tmp_path, monkeypatch):
    def fail(_joint, _result):
        raise cni.CniError("not today")

    monkeypatch.setattr(cni, "delete", fail)
    record = records.Record(str(tmp_path), JOINT, makers.myself())
    record.let_go()
    (problem,) = records.sweep(str(tmp_path))
    assert problem.endswith("not today")
    assert record.path.exists()


def test_a_record_that_was_cut_off_is_put_aside(tmp_path, asked):
    place = records.where(str(tmp_path), "kubereach-phantom-2")
    place.parent.mkdir()
    place.write_text('{"network": {')
    assert records.sweep(str(tmp_path)) == []
    assert asked == []
    assert [path.suffix for path in place.parent.iterdir()] == [".broken"]


def test_where_nothing_was_ever_made_there_is_nothing_to_sweep(tmp_path):
    assert records.sweep(str(tmp_path / "never")) == []
