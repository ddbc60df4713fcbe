"""What the benchmarks of first sound and recovery compute from their stamps."""

import asyncio
import json
from typing import Any

import pytest

from benchmarks.flow import Sample
from benchmarks.outage import LATE_SECONDS, outage, usual
from benchmarks.recorder import Recorder


def test_our_share_leaves_out_what_the_provider_takes() -> None:
    sample = Sample("run", "segment", asked_at=10.0, answered_at=10.01, posted_at=10.03, called_at=45.0, first_at=45.01)
    assert sample.submission == pytest.approx(30)
    assert sample.news == pytest.approx(10)
    assert sample.total == pytest.approx(40)


def test_dispatch_is_normal_again_when_the_last_late_run_was_sent() -> None:
    asked = {"early": 8.0, "lost": 10.5, "late": 12.0, "next": 17.0}
    posted = {"early": [8.1], "lost": [16.4], "late": [16.5], "next": [17.1]}
    noted: dict[str, Any] = {"posted": posted, "called": {}, "taken": {}}
    found = outage("generator-1", 10.0, 25.0, asked, noted, normal=0.1)
    assert found.late == 2
    assert found.recovered == pytest.approx(6.5)
    assert found.silence == pytest.approx(8.3)  # from the last submission before the kill on


def test_a_kill_that_delays_nothing_costs_nothing() -> None:
    asked = {str(number): float(number) for number in range(10, 20)}
    posted = {name: [at + 0.1] for name, at in asked.items()}
    found = outage("signer-1", 12.0, 21.0, asked, {"posted": posted, "called": {}, "taken": {}}, normal=0.1)
    assert (found.recovered, found.news, found.late) == (0.0, 0.0, 0)


def test_late_news_count_though_every_submission_was_in_time() -> None:
    asked, posted = {"one": 12.0}, {"one": [12.1]}
    noted: dict[str, Any] = {"posted": posted, "called": {"one": 12.3}, "taken": {"one": 14.0}}
    assert outage("callback-1", 12.0, 20.0, asked, noted, normal=0.1).news == pytest.approx(2.0)


def test_the_usual_delay_is_that_of_the_runs_before_the_first_kill() -> None:
    asked = {"a": 1.0, "b": 2.0, "c": 3.0, "after": 9.0}
    posted = {"a": [1.2], "b": [2.1], "c": [3.3], "after": [20.0]}
    assert usual(asked, posted, 5.0) == pytest.approx(0.2)
    assert LATE_SECONDS > 0.2


async def test_the_recorder_answers_every_submission_and_calls_back_once() -> None:
    recorder = Recorder(first_after=60.0)
    body = json.dumps({"callBackUrl": "http://127.0.0.1:9/callback?segment=s-1&token=t"}).encode()
    answers = [json.loads(recorder.submission(body, at)) for at in (5.0, 6.0)]
    assert [answer["code"] for answer in answers] == [200, 200]
    assert recorder.posted == {"s-1": [5.0, 6.0]}
    assert len(recorder.tasks) == 1
    for task in tuple(recorder.tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
