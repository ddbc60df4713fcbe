"""Claims about the database's clock: a step is noticed by its own amount, slow answers and slow drift are not steps."""

import pytest

from services.generator.domain.clock_watch import ClockWatch

EPOCH = 1_764_000_000.0  # the database's time while ours says 0


def test_a_clock_that_goes_on_as_ours_does_never_stepped() -> None:
    watch = ClockWatch(0.05)
    assert [watch.step(at, EPOCH + at + 0.001, at + 0.002) for at in range(100)] == [0.0] * 100


@pytest.mark.parametrize("step", [3600.0, 0.2, -0.2, -3600.0])
def test_a_step_either_way_is_noticed_once(step: float) -> None:
    watch = ClockWatch(0.05)
    watch.step(0.0, EPOCH, 0.002)
    assert watch.step(1.0, EPOCH + 1 + step, 1.002) == pytest.approx(step, abs=0.01)
    assert watch.step(2.0, EPOCH + 2 + step, 2.002) == 0.0


def test_a_slow_answer_is_no_step_and_hides_none() -> None:
    watch = ClockWatch(0.05)
    watch.step(0.0, EPOCH, 0.002)
    assert watch.step(1.0, EPOCH + 3.9, 4.0) == 0.0  # read at the very end of three slow seconds
    assert watch.step(5.0, EPOCH + 5.2, 5.002) > 0.05


def test_what_drift_adds_up_to_over_an_hour_is_no_step() -> None:
    watch = ClockWatch(0.05)
    drift = 200e-6
    assert {watch.step(at, EPOCH + at * (1 + drift), at + 0.002) for at in range(0, 3600, 5)} == {0.0}
