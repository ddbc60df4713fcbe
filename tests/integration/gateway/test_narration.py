"""What was spoken in a segment, and whose sound lies under it, is told to its listener."""

import uuid

import httpx

from libs.common.database import Database
from libs.common.lifecycle import lock_run, move_segment
from tests.integration.gateway.world import bearer, make_run

LINES = [
    {"at_seconds": 8.0, "seconds": 2.8, "text": "It leaves as if through a straw."},
    {"at_seconds": 40.0, "seconds": 2.8, "text": "Your breath finds its own pace."},
]
MADE = {
    "narration": {
        "state": "partial",
        "reason": "voice_refused",
        "voice": "espeak-ng",
        "effect": {"kind": "sea", "source": "freesound", "author": "alice", "licence": "CC BY 4.0"},
        "lines_planned": 2,
        "spoken": [{"line": 1, "start_ms": 40_000, "end_ms": 42_500}],
        "measures": {"voice_margin_lu": 9.8},
    },
    "narration_windows_ms": [[40_000, 42_500]],
    "music_bed_gain_db": -4.4,
}


async def test_a_listener_is_told_what_was_spoken_and_whose_sound_is_under_it(
    edge: httpx.AsyncClient, store: Database, user: uuid.UUID
) -> None:
    run = await make_run(store, user, plan={"total_seconds": 1200, "seed": 7, "narration": True})
    first, second = run.segments
    asked = {"narration": {"locale": "en", "effect": "sea", "lines": LINES}}
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        await connection.execute("UPDATE parcours_segments SET plan = plan || $2 WHERE id = $1", second, asked)
        key = f"runs/{run.id}/{second}.mp3"
        await move_segment(connection, second, "complete", storage_path=key, duration_seconds=605, notes=MADE)
    seen = (await edge.get(f"/v1/runs/{run.id}", headers=bearer(user))).json()
    one, two = seen["segments"]
    assert (seen["narration"], one["id"], one["narration"]) == (True, str(first), None)
    assert (two["narration_windows_ms"], two["music_bed_gain_db"]) == ([[40_000, 42_500]], -4.4)
    told = two["narration"]
    assert (told["state"], told["reason"], told["voice"]) == ("partial", "voice_refused", "espeak-ng")
    assert told["lines"] == [{"text": LINES[1]["text"], "startMs": 40_000, "endMs": 42_500}]
    assert (told["effect"]["author"], told["effect"]["licence"]) == ("alice", "CC BY 4.0")
    log = await edge.get(f"/v1/runs/{run.id}/log", headers=bearer(user))
    noted = [entry for entry in log.json()["entries"] if entry["notes"]]
    assert [(entry["segmentIndex"], entry["event"]) for entry in noted] == [(1, "complete")]
    assert noted[0]["notes"] == ["narration partial (voice_refused): 1 of 2 lines"]
    assert "Your breath" not in log.text
