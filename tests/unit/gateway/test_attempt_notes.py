"""Claims about the words of a run's log: each thing that may become of an attempt is told, and nothing secret."""

from typing import Any

import pytest

from services.gateway.domain.attempt_notes import attempt_notes

REPLIED = {"replied": True}


def attempt(number: int = 1, **facts: Any) -> dict[str, Any]:
    plain = {
        "attempt_no": number,
        "provider": "suno",
        "bridge": False,
        "rank": 2,
        "gave_up_rank": None,
        "outcome": None,
        "error_code": None,
        "alive": True,
        "ambiguous_at": None,
        "provider_task_id": "task",
        "cost": 12.0,
        "facts": REPLIED,
        "surplus_task_ids": None,
    }
    return plain | facts


def test_an_attempt_in_good_order_needs_no_word() -> None:
    row = attempt()
    assert attempt_notes(row, [row]) == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"rank": 6}, "stored"),
        ({"facts": {}}, "adopted"),
        ({"provider_task_id": None, "rank": 1, "facts": {}, "ambiguous_at": 1}, "perhaps accepted"),
        ({"outcome": "refused", "error_code": "body_430", "rank": 1, "facts": {}}, "refused (body_430)"),
        ({"rank": 4, "error_code": "501"}, "failed at the provider (501)"),
        ({"bridge": True}, "bridged"),
        ({"rank": 2, "gave_up_rank": 2, "alive": False}, "no news for too long"),
        ({"rank": 5, "gave_up_rank": 5, "alive": False}, "could not be used"),
        ({"rank": 5, "gave_up_rank": 2}, "heard of after all"),
        ({"rank": 5, "facts": REPLIED | {"surplus": True}}, "surplus: another attempt was stored first, paid"),
        ({"rank": 5, "cost": 0.0, "facts": REPLIED | {"surplus": True}}, "it cost nothing"),
        ({"surplus_task_ids": ["a", "b"]}, "the provider made 2 more for one attempt: a, b"),
        ({"gave_up_rank": 2, "facts": REPLIED | {"given_up_by": "operator"}}, "given up by an operator"),
    ],
)
def test_what_became_of_it_is_said(facts: dict[str, Any], said: str) -> None:
    row = attempt(**facts)
    assert said in "; ".join(attempt_notes(row, [row]))


def test_a_possible_double_charge_is_told_on_both_attempts_and_its_balances_to_operators_alone() -> None:
    lost = {"possible_double_charge": True, "credits_before": 500.0, "credits_when_resent": 488}
    first = attempt(rank=1, gave_up_rank=1, alive=False, provider_task_id=None, ambiguous_at=1, facts=lost)
    second = attempt(2)
    told = ["given up: neither a reply nor a callback came in time"]
    again = "double charge possible: the segment was asked for again"
    assert attempt_notes(first, [first, second]) == [*told, again]
    operators = attempt_notes(first, [first, second], for_operators=True)
    assert operators == [*told, f"{again} (credits before 500, resent 488)"]
    assert attempt_notes(second, [first, second]) == ["resent after silence: nobody answered attempt 1"]


def test_what_another_attempt_beat_is_surplus() -> None:
    beaten, stored = attempt(rank=5), attempt(2, rank=6, provider="composer", cost=0.0)
    assert attempt_notes(beaten, [beaten, stored]) == ["surplus: another attempt was stored first, paid for nothing"]
