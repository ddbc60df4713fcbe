"""What news changes, as a pure decision."""

import itertools
from dataclasses import replace

import pytest

from services.callback.domain.change import NOTHING, SURPLUS_KEPT, Known, decide
from services.callback.domain.news import RANKS, News, Stage, Take
from services.callback.storage import growth

KNOWN = Known(
    rank=2, heard=frozenset(), task_id="t1", task_taken=False, surplus=(), segment_status="generating", late=False
)
FIRST = News("suno", Stage.FIRST, "t1", preview_url="https://a/b")
COMPLETE = News("suno", Stage.COMPLETE, "t1", takes=(Take("https://a/c", 1.0),))
ERROR = News("suno", Stage.ERROR, "t1", error_code="501")
TEXT = News("suno", Stage.TEXT, "t1")
ALL = (TEXT, FIRST, COMPLETE, ERROR)


def test_delivered_beats_failed() -> None:
    assert RANKS[Stage.COMPLETE] > RANKS[Stage.ERROR] > RANKS[Stage.FIRST]


@pytest.mark.parametrize("news", ALL)
def test_a_known_stage_changes_nothing(news: News) -> None:
    change = decide(news, KNOWN._replace(heard=frozenset({news.stage})))
    assert change == NOTHING
    assert change.skipped


@pytest.mark.parametrize("news", ALL)
def test_a_late_token_changes_nothing(news: News) -> None:
    assert decide(replace(news, task_id="t9"), KNOWN._replace(late=True)) == NOTHING


def test_an_attempts_own_first_news_is_announced_though_another_attempt_was_faster() -> None:
    change = decide(FIRST, KNOWN._replace(segment_status="first"))
    assert change.announced
    assert not change.skipped


@pytest.mark.parametrize("news", ALL)
def test_a_complete_segment_is_left_alone_and_facts_are_kept(news: News) -> None:
    change = decide(news, KNOWN._replace(segment_status="complete"))
    assert (change.fresh, change.announced, change.lifted, change.skipped) == (True, False, False, True)


def test_an_error_after_the_delivery_is_no_failure() -> None:
    assert not decide(ERROR, KNOWN._replace(rank=5, heard=frozenset({Stage.COMPLETE}))).announced


def test_a_first_of_a_failed_attempt_does_not_lift_the_verdict() -> None:
    failed = KNOWN._replace(rank=4, heard=frozenset({Stage.ERROR}), segment_status="failed")
    assert not decide(FIRST, failed).lifted
    assert decide(FIRST, failed._replace(segment_status="generating")).lifted


def test_a_first_of_an_attempt_we_gave_up_lifts_the_verdict() -> None:
    assert decide(FIRST, KNOWN._replace(segment_status="failed")).lifted


def test_the_first_task_id_is_adopted_and_another_is_surplus() -> None:
    assert decide(FIRST, KNOWN._replace(task_id=None)).adopted
    change = decide(replace(FIRST, task_id="t2"), KNOWN)
    assert (change.adopted, change.surplus, change.fresh) == (False, True, True)


def test_a_surplus_task_is_counted_once() -> None:
    known = KNOWN._replace(heard=frozenset({Stage.FIRST}), surplus=("t2",))
    assert decide(replace(FIRST, task_id="t2"), known) == NOTHING
    many = known._replace(surplus=tuple(str(number) for number in range(SURPLUS_KEPT)))
    assert decide(replace(FIRST, task_id="t2"), many) == NOTHING


def test_another_attempts_task_id_is_surplus_and_never_adopted() -> None:
    change = decide(FIRST, KNOWN._replace(task_id=None, task_taken=True))
    assert (change.adopted, change.surplus) == (False, True)


@pytest.mark.parametrize("order", list(itertools.permutations(ALL)))
def test_the_rank_does_not_depend_on_the_order(order: tuple[News, ...]) -> None:
    rank = 1
    for news in (*order, *order):
        higher = max(rank, RANKS[news.stage])
        assert higher >= rank
        rank = higher
    assert rank == RANKS[Stage.COMPLETE]


def test_a_growths_columns_are_the_statements_arrays() -> None:
    assert tuple(growth._TYPES) == growth.Growth._fields
