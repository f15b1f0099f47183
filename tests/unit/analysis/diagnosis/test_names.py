import pytest

from agent.analysis.diagnosis.names import go_error, next_question, plan_lookup
from agent.model.scrape import Asked, NameAnswer, NameLookup, PodFiles, Question

FILES = PodFiles(resolv_conf="search a b\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5\n", hosts="192.0.2.10 n2\n")


def asked_with(answers):
    """All questions, when the answers come one after the other."""
    plan, asked = plan_lookup("n1", FILES), ()
    for answer in answers:
        question = next_question(plan, asked)
        assert question is not None
        asked = (*asked, Asked(question=question, answer=answer))
    return asked, next_question(plan, asked)


def shown(asked):
    return [(item.question.name, item.question.kind, item.question.server[-1]) for item in asked]


def test_the_hosts_file_comes_first_and_then_nobody_is_asked():
    plan = plan_lookup("n2", FILES)
    assert plan.from_hosts == ("192.0.2.10",)
    assert next_question(plan, ()) is None


def test_a_name_that_does_not_exist_is_asked_for_with_every_domain():
    asked, more = asked_with([NameAnswer.NXDOMAIN] * 3)
    assert shown(asked) == [("n1.a.", "A", "1"), ("n1.b.", "A", "1"), ("n1.", "A", "1")]
    assert more is None


def test_the_first_answer_ends_it():
    assert asked_with([NameAnswer.NXDOMAIN, NameAnswer.FOUND])[1] is None


def test_a_name_without_an_ipv4_address_is_asked_for_its_ipv6_address():
    asked, more = asked_with([NameAnswer.NO_DATA, NameAnswer.FOUND])
    assert shown(asked) == [("n1.a.", "A", "1"), ("n1.a.", "AAAA", "1")]
    assert more is None


def test_a_name_with_no_address_of_either_kind_is_asked_for_with_the_next_domain():
    asked, more = asked_with([NameAnswer.NO_DATA, NameAnswer.NO_DATA])
    assert shown(asked) == [("n1.a.", "A", "1"), ("n1.a.", "AAAA", "1")]
    assert more == Question(name="n1.b.", kind="A", server="10.0.0.1")


@pytest.mark.parametrize("failure", [NameAnswer.SERVFAIL, NameAnswer.REFUSED, NameAnswer.OTHER])
def test_a_server_that_fails_hands_over_to_the_next_and_then_to_the_next_name(failure):
    asked, more = asked_with([failure, failure, NameAnswer.NXDOMAIN])
    assert shown(asked) == [("n1.a.", "A", "1"), ("n1.a.", "A", "2"), ("n1.b.", "A", "1")]
    assert more == Question(name="n1.", kind="A", server="10.0.0.1")


def test_servers_that_are_all_deaf_are_not_asked_again():
    asked, more = asked_with([NameAnswer.TIMEOUT, NameAnswer.UNREACHABLE])
    assert shown(asked) == [("n1.a.", "A", "1"), ("n1.a.", "A", "2")]
    assert more is None


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((("n1.a.", NameAnswer.NXDOMAIN), ("n1.", NameAnswer.NXDOMAIN)), "dial tcp: lookup n1 on 10.0.0.1:53: no such host"),
        (
            (("n1.a.", NameAnswer.SERVFAIL), ("n1.", NameAnswer.NXDOMAIN)),
            "dial tcp: lookup n1 on 10.0.0.1:53: server misbehaving",
        ),
        ((("n1.", NameAnswer.REFUSED),), "dial tcp: lookup n1 on 10.0.0.1:53: server misbehaving"),
        ((("n1.a.", NameAnswer.TIMEOUT),), "context deadline exceeded"),
        ((), ""),
    ],
)
def test_the_words_of_go(answers, words):
    asked = tuple(Asked(question=Question(name=name, kind="A", server="10.0.0.1"), answer=answer) for name, answer in answers)
    assert go_error(NameLookup(name="n1", namespace=5, asked=asked)) == words
