import socket
import threading
from contextlib import contextmanager

import pytest

from agent.host import resolver
from agent.lab import dns
from agent.lab.names import Names
from agent.model.scrape import NameAnswer, Question
from agent.model.settings import Settings

SETTINGS = Settings(connect_timeout=1.0)
NAMES = Names(addresses={"n1.": "192.0.2.10"})


@contextmanager
def serving(answer, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(resolver, "_PORT", server.getsockname()[1])

        def serve():
            received, client = server.recvfrom(4096)
            for reply in answer(received):
                server.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def asked(name="n1.", kind="A", settings=SETTINGS):
    question = Question(name=name, kind=kind, server="127.0.0.1")
    return resolver.ask(question, socket.socket(socket.AF_INET, socket.SOCK_DGRAM), settings)


@pytest.mark.parametrize(
    ("names", "name", "kind", "expected"),
    [
        (NAMES, "n1.", "A", (NameAnswer.FOUND, ("192.0.2.10",))),
        (NAMES, "n1.", "AAAA", (NameAnswer.NO_DATA, ())),
        (NAMES, "n2.", "A", (NameAnswer.NXDOMAIN, ())),
        (Names(failure="SERVFAIL"), "n1.", "A", (NameAnswer.SERVFAIL, ())),
        (Names(failure="REFUSED"), "n1.", "A", (NameAnswer.REFUSED, ())),
        (Names(failure="NOTIMP"), "n1.", "A", (NameAnswer.OTHER, ())),
    ],
)
def test_each_answer_is_told_apart(monkeypatch, names, name, kind, expected):
    with serving(lambda received: [dns.answer(received, names)], monkeypatch):
        result = asked(name, kind)
    assert (result.answer, result.addresses) == expected


def test_bytes_that_are_no_message_are_an_answer_of_their_own(monkeypatch):
    with serving(lambda _: [b"\xff" * 3], monkeypatch):
        assert asked().answer is NameAnswer.OTHER


def test_an_answer_that_was_cut_off_is_no_denial(monkeypatch):
    def cut(received):
        reply = bytearray(dns.answer(received, Names(addresses={"n1.": "192.0.2.10"}, failure="NOERROR")))
        reply[2] |= 0x02  # TC (RFC 1035 4.1.1)
        return [bytes(reply)]

    with serving(cut, monkeypatch):
        assert asked().answer is NameAnswer.OTHER


def test_an_answer_to_another_question_is_passed_over(monkeypatch):
    def answers(received):
        wrong = bytes([received[0] ^ 0xFF]) + received[1:]
        return [dns.answer(wrong, NAMES), dns.answer(received, NAMES)]

    with serving(answers, monkeypatch):
        assert asked().addresses == ("192.0.2.10",)


def test_silence_is_a_timeout(monkeypatch):
    with serving(lambda _: [], monkeypatch):
        assert asked(settings=Settings(connect_timeout=0.05)).answer is NameAnswer.TIMEOUT


def test_nobody_there_is_told_by_the_icmp_error(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(resolver, "_PORT", free.getsockname()[1])
    result = asked()
    assert (result.answer, result.detail) == (NameAnswer.UNREACHABLE, "connection refused")


def test_a_name_that_cannot_be_asked_for_is_not_tried():
    assert asked(f"{'x' * 80}.").answer is NameAnswer.NOT_TRIED
