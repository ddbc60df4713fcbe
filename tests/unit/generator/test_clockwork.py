"""Claims about the durations: one scale for all, floors where a short time-out would break the protocol."""

import pytest

from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import load_provider


def test_production_durations_are_those_of_the_design() -> None:
    terms = load_provider("suno", Clockwork(), 1.0).terms
    assert (terms.slots, terms.user_cap) == (20, 4)
    assert terms.hold_seconds == pytest.approx(10.05)
    assert terms.lease_seconds == pytest.approx(35.05)
    assert load_provider("composer", Clockwork(), 1.0).terms.hold_seconds == pytest.approx(0.05)


def test_every_duration_is_scaled() -> None:
    clock = Clockwork().scaled(0.5)
    assert (clock.adopt, clock.silent, clock.sweep_every, clock.backoff) == (45.0, 150.0, 2.5, (1.0, 2.0, 3.0))


def test_a_lease_covers_the_send_budget_and_the_time_out_at_any_scale() -> None:
    for scale in (1.0, 0.05, 0.01):
        clock = Clockwork().scaled(scale)
        terms = load_provider("suno", clock, scale).terms
        assert clock.submit_timeout >= 2.0
        assert terms.lease_seconds >= clock.send_budget + clock.submit_timeout + terms.window_seconds
