import pytest

from agent.analysis.readers.ipset import Entry, Ipset, looks_saved, parse

# As ipset 7.17 prints: one set of each shape of line.
SAVED = """\
create bip bitmap:ip range 10.244.0.0-10.244.255.255 netmask 24
add bip 10.244.4.0
create hip hash:ip family inet hashsize 1024 maxelem 65536 timeout 100 counters comment bucketsize 12 initval 0x912eb78c
add hip 10.0.0.2 timeout 99 packets 3 bytes 0 comment "kept: a \\ b"
create hn hash:net family inet6 hashsize 1024 maxelem 65536 counters skbinfo bucketsize 12 initval 0x1ad86876
add hn fd00::/16
add hn fd00:1::/32 nomatch packets 0 bytes 0 skbmark 0x1/0xff
create hni hash:net,iface family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xc26d5d40
add hni 10.0.0.0/8,physdev:eth1
add hni 10.0.0.0/8,wild+ wildcard
create ls list:set size 8
add ls hip
"""


def test_types_families_options_and_entries_are_read() -> None:
    found = parse(SAVED)
    assert found.problems == ()
    assert [(each.name, each.kind, each.family) for each in found.sets.values()] == [
        ("bip", "bitmap:ip", "ip"),
        ("hip", "hash:ip", "ip"),
        ("hn", "hash:net", "ip6"),
        ("hni", "hash:net,iface", "ip"),
        ("ls", "list:set", ""),
    ]
    assert found.sets["bip"].options["netmask"] == "24"
    assert found.sets["hip"].options["timeout"] == "100"
    assert found.sets["hip"].entries == (Entry("10.0.0.2"),)
    assert found.sets["hn"].entries == (Entry("fd00::/16"), Entry("fd00:1::/32", nomatch=True))
    assert found.sets["hni"].entries[1] == Entry("10.0.0.0/8,wild+", wildcard=True)
    assert found.sets["ls"].entries == (Entry("hip"),)


@pytest.mark.parametrize("name", ['a b"c', "-x", "x;y\\z", "nl\nx", "create", "a hash:ip", "\udcff", "n" * 31])
def test_a_name_may_hold_anything(name: str) -> None:
    text = f"create {name} hash:ip family inet\nadd {name} 1.2.3.4\ncreate l list:set size 8\nadd l {name} timeout 5\n"
    found = parse(text)
    assert found.problems == ()
    assert found.sets == {
        name: Ipset(name, "hash:ip", "ip", {"family": "inet"}, (Entry("1.2.3.4"),)),
        "l": Ipset("l", "list:set", "", {"size": "8"}, (Entry(name),)),
    }


def test_a_comment_adds_no_entry() -> None:
    text = 'create s hash:ip comment\nadd s 1.2.3.4 comment "x\nadd s 10.244.4.138\n nomatch"\n'
    found = parse(text)
    assert (found.sets["s"].entries, found.problems) == ((Entry("1.2.3.4"),), ())


@pytest.mark.parametrize(
    "line",
    [
        "add other 1.2.3.4",
        "add s 1.2.3.4 frobnicate",
        "add s",
        "del s 1.2.3.4",
        "create s hash:ip",
        "create t hash:unheard",
        "create t hash:ip colour red",
        "create " + "n" * 32 + " hash:ip",
    ],
)
def test_a_line_that_is_not_understood_is_said(line: str) -> None:
    text = f"create s hash:ip family inet\nadd s 1.1.1.1\ncreate a list:set\n\n{line}\nadd s 2.2.2.2\n"
    found = parse(text)
    (problem,) = found.problems
    assert problem == f"Line 5 of ipset save is not understood: {line}"
    assert found.sets["s"].entries == (Entry("1.1.1.1"), Entry("2.2.2.2"))


def test_a_line_that_can_be_read_in_two_ways_is_not_understood() -> None:
    sets = "create a list:set\ncreate a b list:set\ncreate c hash:ip\ncreate b c hash:ip\n"
    assert parse(f"{sets}add a b c\n").problems == ("Line 5 of ipset save is not understood: add a b c",)


def test_a_list_may_name_a_set_that_is_not_here() -> None:
    assert parse("create l list:set\nadd l gone timeout 5\n").sets["l"].entries == (Entry("gone"),)


def test_blank_lines_and_a_persons_comments_are_nothing() -> None:
    found = parse("# sets of this node\r\n\n  \ncreate s hash:ip\r\nadd s 1.1.1.1\r\n# end")
    assert (found.problems, found.sets["s"].entries) == ((), (Entry("1.1.1.1"),))


@pytest.mark.parametrize(
    ("text", "saved"),
    [
        (SAVED, True),
        ("", True),
        ("\n# none\n", True),
        ("add s 1.1.1.1", True),
        ("Name: s\nType: hash:ip\n", False),
        ("*filter", False),
    ],
)
def test_ipset_list_is_told_from_ipset_save(text: str, saved: bool) -> None:
    assert looks_saved(text) is saved
