"""How often callers may make the node work."""

from agent.service.limits import Limiter, Rate


class Clock:
    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time


def test_a_burst_and_then_a_rate():
    clock = Clock()
    limiter = Limiter(Rate(3, 2.0), Rate(100, 1.0), clock)
    assert [limiter.wait("a") for _ in range(4)] == [0, 0, 0, 2]
    clock.time = 1.5
    assert limiter.wait("a") == 1
    clock.time = 2.0
    assert [limiter.wait("a"), limiter.wait("a")] == [0, 2]
    clock.time = 1000.0
    assert [limiter.wait("a") for _ in range(4)] == [0, 0, 0, 2]


def test_callers_do_not_pay_for_each_other_until_all_together_are_too_many():
    limiter = Limiter(Rate(2, 1.0), Rate(5, 10.0), Clock())
    assert [limiter.wait(name) for name in "aaabbcc"] == [0, 0, 1, 0, 0, 0, 10]


def test_callers_that_are_remembered_are_bounded():
    limiter = Limiter(Rate(1, 1.0), Rate(10**6, 1.0), Clock())
    for number in range(5000):
        limiter.wait(str(number))
    assert len(limiter._callers) <= 1024
