"""Claims about the breaker: five failures in a row, or half of twenty within a minute."""

from services.generator.domain.breaker import Call, is_tripped


def calls(pattern: str, age: float = 1.0) -> list[Call]:
    return [Call(failed=mark == "x", age_seconds=age) for mark in pattern]


def test_five_failures_in_a_row_trip_it_however_old_they_are() -> None:
    assert is_tripped(calls("xxxxx", age=500), 60)
    assert not is_tripped(calls("xxxx"), 60)
    assert not is_tripped(calls("xxxx.xxxx"), 60)


def test_half_of_the_last_twenty_trips_it_when_all_are_recent() -> None:
    assert is_tripped(calls("x." * 10), 60)
    assert not is_tripped(calls("x." * 10, age=61), 60)
    assert not is_tripped(calls("x." * 9 + ".."), 60)
    assert not is_tripped(calls("x." * 9), 60)
