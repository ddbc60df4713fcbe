"""Owns the claims about a run's arc: whose it is, on which timeline, and how planned and measured agree."""

import uuid
from typing import Any

import httpx
import pytest

from libs.common.database import Database
from libs.common.lifecycle import lock_run, move_segment
from services.gateway.domain import arc
from tests.integration.gateway.world import Run, bearer, make_run

FALLING = [90.0 - 0.5 * place for place in range(80)]
PLAN = {
    "total_seconds": 1200,
    "seed": 7,
    "curve": {
        "step_seconds": 15,
        "bpm": FALLING,
        "brightness": [bpm / 200 for bpm in FALLING],
        "lufs": [-16.0] * 80,  # nothing is to change
    },
}


def heard(begin: int, points: int) -> dict[str, Any]:
    """What the archiver keeps of a file whose tempo falls as planned and whose brightness does not."""
    curve = [
        {
            "from_seconds": 15.0 * place,
            "lufs": -16.0 + place % 3,
            "centroid_hz": 500.0 + 2 * (begin + place),
            "bpm": None if place == 3 else FALLING[begin + place] + 0.2,
        }
        for place in range(points)
    ]
    parts = [{"source": "provider", "take": 2, "from_seconds": 0.0, "to_seconds": 605.0}]
    return {"curve": curve, "parts": parts, "gate_verdict": "passed"}


async def store_segment(store: Database, run: Run, index: int, points: int) -> None:
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        for status in ("generating", "first"):
            await move_segment(connection, run.segments[index], status)
        await move_segment(
            connection, run.segments[index], "complete", storage_path="p", notes=heard(40 * index, points)
        )


async def test_the_arc_lays_what_was_planned_beside_what_is_played(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user, plan=PLAN)
    await store_segment(store, run, 0, 41)  # the 41st lies in the tail, under the next segment's head
    answer = await edge.get(f"/v1/runs/{run.id}/arc", headers=bearer(user))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    assert (told["runId"], told["stepSeconds"], told["totalSeconds"]) == (str(run.id), 15, 1200)
    assert len(told["planned"]) == 80
    assert told["planned"][2] == {"t": 30, "bpm": 89, "brightness": 0.445, "lufs": -16}
    assert len(told["measured"]) == 40
    assert told["measured"][2] == {"t": 30, "segmentIndex": 0, "bpm": 89.2, "centroidHz": 504, "lufs": -14}
    assert told["measured"][3]["bpm"] is None
    assert told["correlation"] == {"tempo": 1.0, "brightness": -1.0, "loudness": None}
    assert [(one["index"], one["start"], one["status"], one["gate"]) for one in told["segments"]] == [
        (0, 0, "complete", "passed"),
        (1, 600, "queued", None),
    ]
    part = {"source": "provider", "take": 2, "fromSeconds": 0, "toSeconds": 605}
    assert [one["parts"] for one in told["segments"]] == [[part], []]


async def test_the_runs_last_fade_is_shown_and_not_compared(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user, plan=PLAN)
    await store_segment(store, run, 1, 40)
    told = (await edge.get(f"/v1/runs/{run.id}/arc", headers=bearer(user))).json()
    assert (told["measured"][0]["t"], told["measured"][-1]["t"]) == (600, 1185)
    planned, measured = arc.planned_points(PLAN), arc.measured_points([])
    measured = [arc.Measured(15.0 * at, 0, FALLING[at], 500.0 - at, -16.0) for at in range(79)]
    loud = [*measured, arc.Measured(1185.0, 0, 200.0, 5000.0, -30.0)]
    assert arc.correlations(planned, loud, 1200) == arc.correlations(planned, measured, 1200)


async def test_a_run_without_a_curve_or_without_files_has_an_arc_all_the_same(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user)  # planned before there were curves
    told = (await edge.get(f"/v1/runs/{run.id}/arc", headers=bearer(user))).json()
    assert (told["planned"], told["measured"]) == ([], [])
    assert told["correlation"] == {"tempo": None, "brightness": None, "loudness": None}


def test_segments_that_begin_between_two_points_are_compared_with_what_lies_between() -> None:
    planned = [arc.Planned(15.0 * at, 60.0 + at * at, 0.3, -16.0) for at in range(10)]
    measured = [arc.Measured(15.0 * at + 7.5, 0, 60.0 + (at * at + (at + 1) ** 2) / 2, 1.0, 1.0) for at in range(8)]
    assert arc.correlations(planned, measured, 1000)["tempo"] == pytest.approx(1.0)


def test_loudness_is_compared_by_the_minute_so_that_single_chords_do_not_hide_its_course() -> None:
    planned = [arc.Planned(15.0 * at, 60.0, 0.3, -15.5 - at / 80) for at in range(80)]
    measured = [arc.Measured(15.0 * at, 0, None, 1.0, -15.5 - at / 80 + (0.5, -0.5)[at % 2]) for at in range(80)]
    assert arc.correlations(planned, measured, 1300)["loudness"] == pytest.approx(1.0)
    assert arc.correlations(planned, measured[:12], 1300)["loudness"] is None  # three minutes
