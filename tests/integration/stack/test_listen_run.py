"""`parcours listen RUN` on a real database and store: every segment in order, the gate's rows, parts, the arc."""

import hashlib
import io
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from libs.common.database import Database, open_database
from libs.common.lifecycle import lock_run, move_segment
from libs.common.objects import FolderObjects
from services.composer.engine.encode import Mp3Stream
from stack.errors import StackError
from stack.folder import DataFolder
from stack.listening.picture import draw
from stack.listening.report import tell
from stack.listening.sources import subject_of
from tests.integration.gateway.world import Run, make_run

CURVE = {"step_seconds": 15, "bpm": [90 - at for at in range(8)], "brightness": [0.4] * 8, "lufs": [-16.0] * 8}
ROW = {"check": "silence", "finding": "drop_db", "stage": "raw", "value": 2.5, "limit": 15.0, "mode": "enforce"}


def music(seconds: int) -> bytes:
    """An MP3 of quiet noise."""
    sound = np.random.default_rng(1).normal(0, 0.05, (2, seconds * 44_100)).astype(np.float32)
    stream = Mp3Stream(sound.shape[1], kilobits=192, quality=7)
    return stream.header() + stream.add(sound) + stream.close()


def kept(*, passed: bool) -> dict[str, Any]:
    """What the archiver notes of a segment."""
    curve = [{"from_seconds": 15.0 * at, "lufs": -16.0, "centroid_hz": 500.0, "bpm": 90.0 - at} for at in range(4)]
    parts = [
        {"source": "provider", "take": 1, "from_seconds": 0.0, "to_seconds": 40.0},
        {"source": "composer", "from_seconds": 35.0, "to_seconds": 65.0},
    ]
    measures = {"lufs": -16.1, "peak_dbtp": -2.0, "range_lu": 2.2}
    return {"curve": curve, "parts": parts, "measures": measures, "gate": [ROW | {"passed": passed}]}


async def put(store: Database, objects: FolderObjects, run: Run, index: int, *, passed: bool) -> None:
    key, content = f"runs/{run.id}/{run.segments[index]}.mp3", music(3)
    await objects.put(
        key,
        content,
        content_type="audio/mpeg",
        sha256=hashlib.sha256(content).digest(),
        metadata={},
        if_absent=True,
    )
    async with store.transaction() as connection:
        await lock_run(connection, run.id)
        for status in ("generating", "first"):
            await move_segment(connection, run.segments[index], status)
        await move_segment(connection, run.segments[index], "complete", storage_path=key, notes=kept(passed=passed))


async def test_a_run_is_told_and_drawn_segment_by_segment(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.delenv("OBJECT_STORE", raising=False)
    folder = DataFolder(tmp_path / "data")
    objects = FolderObjects(folder.objects)
    folder.path.mkdir()
    await objects.open()
    async with open_database(database, "archiver", min_size=1, max_size=2) as store:
        run = await make_run(store, uuid.uuid4(), segments=3, plan={"total_seconds": 120, "seed": 7, "curve": CURVE})
        async with store.connection() as connection:
            await connection.execute("UPDATE parcours_segments SET plan = $1", {"seconds": 60, "file_seconds": 65})
        await put(store, objects, run, 0, passed=True)
        await put(store, objects, run, 1, passed=False)
    heard = await subject_of(str(run.id), folder, bpm=None)
    assert [(piece.status, piece.spectrum is not None, len(piece.failed)) for piece in heard.pieces] == [
        ("complete", True, 0),
        ("complete", True, 1),
        ("queued", False, 0),
    ]
    assert (heard.starts, heard.seconds, len(heard.planned), len(heard.measured)) == ([0, 60, 120], 180, 8, 8)
    shown = io.StringIO()
    tell(heard, Console(file=shown, width=200))
    lines = shown.getvalue().splitlines()
    (second,) = [line for line in lines if "Title 1" in line]
    assert "1 of 1 fail" in second
    assert "provider 1 0:00-0:40, composer 0:35-1:05" in second
    (row,) = [line for line in lines if "drop_db" in line]
    assert row.split() == ["silence", "(raw)", "drop_db", "2.5", "2.5", "≤", "15", "fails:", "2"]
    draw(heard, tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 20_000
    with pytest.raises(StackError, match=r"there is no run .* here: `parcours runs --data"):
        await subject_of(str(uuid.uuid4()), folder, bpm=None)


async def test_a_file_that_the_store_has_lost_does_not_hide_the_rest(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.delenv("OBJECT_STORE", raising=False)
    folder = DataFolder(tmp_path)
    async with open_database(database, "archiver", min_size=1, max_size=2) as store:
        run = await make_run(store, uuid.uuid4(), segments=1)
        objects = FolderObjects(tmp_path / "elsewhere")
        await objects.open()
        await put(store, objects, run, 0, passed=True)
    heard = await subject_of(str(run.id), folder, bpm=None)
    assert (heard.pieces[0].spectrum, len(heard.pieces[0].gate), len(heard.measured)) == (None, 1, 4)
    tell(heard, Console(file=io.StringIO(), width=100))
    draw(heard, tmp_path / "run.png")
