"""Owns the claims about rates: an exact window, bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.rates import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_one_beyond_the_limit_waits_until_the_first_has_left_the_window() -> None:
    clock = Clock()
    rate = Rate(3, clock=clock)
    waits = []
    for second in (0, 10, 20, 30):
        clock.now = 1000.0 + second
        waits.append(rate.take("a"))
    assert waits == [0, 0, 0, 30]
    clock.now = 1060.0
    assert rate.take("a") == 0
    assert rate.take("a") == 10


def test_keys_do_not_share_and_refusals_do_not_count() -> None:
    clock = Clock()
    rate = Rate(1, clock=clock)
    assert rate.take("a") == 0
    assert [rate.take("a") for _ in range(5)] == [60] * 5
    assert rate.take("b") == 0
    clock.now += 60
    assert rate.take("a") == 0


def test_silent_keys_are_forgotten() -> None:
    clock = Clock()
    rate = Rate(2, clock=clock)
    for number in range(1000):
        clock.now += 0.1
        rate.take(number)
    clock.now += 100
    assert rate.wait(5) == 0  # empties a key in the middle
    rate.take("now")
    assert list(rate._hits) == ["now"]


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=200), st.integers(min_value=1, max_value=10))
def test_no_minute_ever_holds_more_than_the_limit(pauses: list[float], limit: int) -> None:
    clock = Clock()
    rate = Rate(limit, clock=clock)
    allowed = []
    for pause in pauses:
        clock.now += pause
        if not rate.take("a"):
            allowed.append(clock.now)
    for index, begin in enumerate(allowed):
        assert sum(begin <= at < begin + 60 for at in allowed[index:]) <= limit
