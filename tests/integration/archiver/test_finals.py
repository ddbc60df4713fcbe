"""A finished file is stored once, exact, and named after what it is; or its attempt is given up with a reason."""

import asyncio
import hashlib
import uuid
from pathlib import Path

import pytest

from libs.common.objects import ObjectExists
from services.archiver import storage
from services.archiver.handlers.tools import Tools
from services.archiver.sweeps import sweep_missing
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import FILE_SECONDS, World, carry, whole
from tests.unit.archiver.sounds import decoded_samples

COMPLETE, FAILED, PREVIEWED = "segment.complete", "segment.failed", "segment.previewed"


@pytest.mark.parametrize("store_settings", ["folder_store", "s3_store"], indirect=True)
async def test_a_delivered_file_is_stored_and_completes_its_segment(
    tools: Tools, world: World, web: Web, sounds: Sounds, tmp_path: Path
) -> None:
    segment = await world.segment()
    url = web.give("/a.mp3", sounds.song)
    attempt_id = await world.delivered(segment, url)
    await carry(tools)

    stored = await whole(tools.objects, segment.key)
    digest = hashlib.sha256(stored).digest()
    info = await tools.objects.head(segment.key)
    assert info is not None
    assert (info.sha256, info.metadata["attempt-id"], info.content_type) == (digest, str(attempt_id), "audio/mpeg")
    (tmp_path / "stored.mp3").write_bytes(stored)
    assert decoded_samples(tmp_path / "stored.mp3") == FILE_SECONDS * 44100

    row = await world.segment_row(segment)
    assert (row["status"], row["storage_path"], row["duration_seconds"], row["callback_token"]) == (
        "complete",
        segment.key,
        FILE_SECONDS,
        None,
    )
    kept = row["metadata"]
    assert (kept["duration_ms"], kept["size_bytes"], kept["sha256"]) == (46_000, len(stored), digest.hex())
    assert (kept["suno_download_url"], kept["provider_sha256"]) == (url, hashlib.sha256(sounds.song).hexdigest())
    assert abs(kept["measures"]["lufs"] + 16.0) <= 0.5

    attempt = await world.attempt_row(attempt_id)
    assert (attempt["rank"], attempt["sha256"], attempt["alive"]) == (6, digest, False)
    assert attempt["finished_at"] is not None
    assert await world.jobs() == []
    ((topic, news),) = await world.news()
    assert (topic, news["storage_path"], news["duration_seconds"]) == (COMPLETE, segment.key, 46.0)
    assert (news["size_bytes"], news["sha256"], news["attempt_id"]) == (len(stored), digest.hex(), str(attempt_id))


async def test_a_wav_becomes_an_exact_mp3(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment(last=True)
    await world.delivered(segment, web.give("/a", sounds.wav))
    await carry(tools)
    row = await world.segment_row(segment)
    assert (row["status"], row["metadata"]["duration_ms"]) == ("complete", 46_000)


async def test_a_job_that_comes_again_changes_nothing(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)
    before = await world.segment_row(segment)
    await world.job(segment, attempt_id, "final")
    await carry(tools)
    assert await world.segment_row(segment) == before
    assert await world.topics() == [COMPLETE]
    assert (await world.jobs(), web.asked) == ([], ["/a.mp3"])


async def test_the_second_take_stands_in_for_a_first_that_is_gone(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    url = web.give("/b.mp3", sounds.other)
    await world.delivered(segment, web.origin + "/gone.mp3", url)
    await carry(tools)
    kept = (await world.segment_row(segment))["metadata"]
    assert (kept["suno_download_url"], [part["take"] for part in kept["parts"]]) == (url, [2])


async def test_short_takes_are_joined_and_the_recipe_is_kept(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment(file_seconds=100)
    await world.delivered(segment, web.give("/a.mp3", sounds.song), web.give("/b.mp3", sounds.other))
    await carry(tools)
    kept = (await world.segment_row(segment))["metadata"]
    assert [part["take"] for part in kept["parts"]] == [1, 2, 1]
    assert kept["duration_ms"] == 100_000


async def test_a_file_in_the_simple_dialect_is_kept_as_received(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    await world.delivered(segment, web.give("/a.mp3", sounds.short), dialect="simple")
    await carry(tools)
    assert await whole(tools.objects, segment.key) == sounds.short
    row = await world.segment_row(segment)
    assert (row["status"], row["duration_seconds"], row["metadata"]["archive_mode"]) == ("complete", 20, "record")


HTML = b"<!doctype html><html><body>This file has moved</body></html>" * 50


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("60 MB", "too_large"),
        ("60 MB unannounced", "too_large"),
        ("html named mp3", "not_audio"),
        ("redirect", "url_refused"),
        ("private address", "url_refused"),
        ("foreign host", "url_refused"),
        ("truncated", "decode_failed"),
        ("gone", "file_gone"),
        ("too short", "too_short"),
        ("no address", "file_gone"),
    ],
)
async def test_a_file_that_will_never_do_fails_its_attempt_with_the_reason(
    tools: Tools, world: World, web: Web, sounds: Sounds, case: str, code: str
) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        for _ in range(60):
            writer.write(bytes(1 << 20))
            await writer.drain()

    urls = {
        "60 MB": web.give("/big.mp3", bytes(60 << 20)),
        "60 MB unannounced": web.answer("/endless.mp3", endless),
        "html named mp3": web.give("/page.mp3", HTML),
        "redirect": web.give("/moved.mp3", b"", status=302, location="http://169.254.169.254/"),
        "private address": "https://localhost/a.mp3",  # listed, but it resolves to this machine
        "foreign host": "https://evil.example/a.mp3",
        "truncated": web.give("/cut.mp3", sounds.song[: len(sounds.song) // 2]),
        "gone": web.give("/gone.mp3", b"", status=410),
        "too short": web.give("/short.mp3", sounds.short),
    }
    segment = await world.segment()
    attempt_id = await world.delivered(segment, *([urls[case]] if case in urls else []))
    await carry(tools)

    attempt = await world.attempt_row(attempt_id)
    assert (attempt["gave_up_rank"], attempt["error_code"], attempt["alive"]) == (5, code, False)
    ((topic, news),) = await world.news()
    assert (topic, news["retryable"], news["error_code"], news["attempt_no"]) == (FAILED, True, code, 1)
    assert (await world.segment_row(segment))["status"] == "generating"
    assert await world.jobs() == []
    assert await tools.objects.head(segment.key) is None


async def test_an_address_never_reaches_a_log(
    tools: Tools, world: World, web: Web, capfd: pytest.CaptureFixture[str]
) -> None:
    segment = await world.segment()
    await world.delivered(segment, web.give("/x?signature=marker-7f3a", HTML), "https://evil.example/?marker-7f3a")
    await carry(tools)
    out, err = capfd.readouterr()
    assert "marker-7f3a" not in out + err
    assert "file_given_up" in out


@pytest.mark.parametrize("case", ["503", "broken off", "refused connection"])
async def test_what_may_pass_is_tried_again_later(
    tools: Tools, world: World, web: Web, sounds: Sounds, case: str
) -> None:
    if case == "503":
        url = web.give("/a.mp3", b"", status=503)
    elif case == "broken off":
        url = web.break_off("/a.mp3", sounds.song)
    else:
        url = web.answer("/a.mp3", _hang_up)
    segment = await world.segment()
    attempt_id = await world.delivered(segment, url)
    await carry(tools)
    (job,) = await world.jobs()
    assert (job["postponed"], job["tries"], (await world.attempt_row(attempt_id))["alive"]) == (True, 1, True)
    assert await world.news() == []

    web.give("/a.mp3", sounds.song)
    await world.due_now()
    await carry(tools)
    assert (await world.segment_row(segment))["status"] == "complete"


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_a_file_that_stays_away_for_longer_than_it_is_kept_is_gone(tools: Tools, world: World, web: Web) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", b"", status=503))
    await world.connection.execute("UPDATE archive_jobs SET created_at = now() - interval '15 days'")
    await carry(tools)
    assert (await world.attempt_row(attempt_id))["error_code"] == "file_gone"


async def test_a_correct_token_with_foreign_addresses_downloads_nothing_foreign(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/foreign.mp3", sounds.other), dialect="suno")
    own = web.give("/own.mp3", sounds.song)
    question = f"/internal/attempts/{attempt_id}/confirm"
    web.give_json(question, {"state": "success", "takes": [{"url": own, "duration": 50.0}]})
    await carry(tools)
    assert web.asked == [question, "/own.mp3"]
    kept = (await world.segment_row(segment))["metadata"]
    assert (kept["provider_confirmed"], kept["suno_download_url"]) == ("success", own)


@pytest.mark.parametrize("answer", ["unknown", "unanswered", "nonsense"])
async def test_without_the_providers_word_the_callbacks_own_addresses_serve(
    tools: Tools, world: World, web: Web, sounds: Sounds, answer: str
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song), dialect="suno")
    if answer != "unanswered":
        web.give_json(f"/internal/attempts/{attempt_id}/confirm", {"state": answer})
    await carry(tools)
    kept = (await world.segment_row(segment))["metadata"]
    assert kept["provider_confirmed"] == ("unknown" if answer == "unknown" else "unanswered")


async def test_a_provider_that_is_still_at_work_is_waited_for(tools: Tools, world: World, web: Web) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.origin + "/a.mp3", dialect="suno")
    web.give_json(f"/internal/attempts/{attempt_id}/confirm", {"state": "running", "takes": []})
    await carry(tools)
    (job,) = await world.jobs()
    assert job["postponed"]
    assert "/a.mp3" not in web.asked


async def test_a_provider_that_says_failed_fails_the_attempt(tools: Tools, world: World, web: Web) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.origin + "/a.mp3", dialect="suno")
    web.give_json(f"/internal/attempts/{attempt_id}/confirm", {"state": "failed", "takes": []})
    await carry(tools)
    assert (await world.attempt_row(attempt_id))["error_code"] == "provider_failed"


async def test_the_first_of_two_deliveries_is_the_segment_and_the_other_is_surplus(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    first = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    second = await world.delivered(segment, web.give("/b.mp3", sounds.other))
    await carry(tools)
    assert await world.topics() == [COMPLETE]
    rows = [await world.attempt_row(first), await world.attempt_row(second)]
    assert [(row["rank"], row["alive"]) for row in rows] == [(6, False), (5, False)]
    assert rows[1]["facts"]["takes"] != []
    assert (web.asked, await world.jobs()) == (["/a.mp3"], [])


async def test_an_object_whose_worker_died_completes_the_segment_with_its_own_measures(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    dead = await world.attempt(segment, rank=5, facts={"dialect": "other"})
    digest = hashlib.sha256(sounds.other).digest()
    measures = {"duration_ms": 50_000, "size_bytes": len(sounds.other), "original_url": "https://x.example/o.mp3"}
    await storage.note_candidate(world.connection, dead, digest, measures)
    await _put(tools, segment.key, sounds.other, dead)
    other = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)

    assert await whole(tools.objects, segment.key) == sounds.other
    row = await world.segment_row(segment)
    assert (row["status"], row["duration_seconds"], row["metadata"]["sha256"]) == ("complete", 50, digest.hex())
    assert [(await world.attempt_row(each))["rank"] for each in (dead, other)] == [6, 5]
    ((_, news),) = await world.news()
    assert news["attempt_id"] == str(dead)


async def test_an_object_nobody_announced_is_neither_overwritten_nor_adopted(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    await _put(tools, segment.key, sounds.other, uuid.uuid4())
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)
    assert await whole(tools.objects, segment.key) == sounds.other
    assert (await world.segment_row(segment))["status"] == "generating"
    assert [job["postponed"] for job in await world.jobs()] == [True]


async def _put(tools: Tools, key: str, content: bytes, attempt_id: uuid.UUID) -> None:
    digest = hashlib.sha256(content).digest()
    metadata = {"attempt-id": str(attempt_id)}
    await tools.objects.put(key, content, content_type="audio/mpeg", sha256=digest, metadata=metadata, if_absent=True)
    with pytest.raises(ObjectExists):
        await tools.objects.put(
            key, content, content_type="audio/mpeg", sha256=digest, metadata=metadata, if_absent=True
        )


async def test_a_late_success_repairs_a_failed_segment(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    await world.connection.execute("UPDATE parcours_segments SET status = 'failed'")
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)
    assert (await world.segment_row(segment))["status"] == "complete"


async def test_a_refused_take_takes_its_preview_back_and_another_is_looked_for(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.short), preview="https://x.example/p")
    other = await world.attempt(segment, rank=3, facts={"preview_url": "https://x.example/q"})
    shown = {"preview_path": f"previews/{segment.segment_id}-1.mp3"}
    await world.connection.execute("UPDATE parcours_segments SET metadata = $1", shown)
    await carry(tools)
    assert (await world.attempt_row(attempt_id))["error_code"] == "too_short"
    assert (await world.segment_row(segment))["metadata"]["preview_path"] is None
    news = await world.news()
    assert [(topic, payload.get("preview_path")) for topic, payload in news] == [(FAILED, None), (PREVIEWED, None)]
    assert [(job["attempt_id"], job["kind"]) for job in await world.jobs()] == [(other, "preview")]


async def test_the_sweep_finds_delivered_attempts_without_a_job(tools: Tools, world: World, web: Web) -> None:
    facts = {"dialect": "other", "takes": [{"url": web.origin + "/a.mp3"}]}
    forgotten, fresh, done, given_up = [await world.segment() for _ in range(4)]
    wanted = await world.attempt(forgotten, rank=5, facts=facts)
    await world.attempt(done, rank=5, facts=facts)
    await world.attempt(given_up, rank=5, facts=facts)
    await world.connection.execute("UPDATE segment_attempts SET delivered_at = now() - interval '61 s'")
    await world.attempt(fresh, rank=5, facts=facts)
    await world.connection.execute(
        "UPDATE parcours_segments SET status = 'complete', storage_path = 'x', callback_token = NULL WHERE id = $1",
        done.segment_id,
    )
    await world.connection.execute(
        "UPDATE segment_attempts SET gave_up_rank = 5 WHERE segment_id = $1", given_up.segment_id
    )
    await sweep_missing(tools.database, 1.0)
    await sweep_missing(tools.database, 1.0)
    assert [(job["attempt_id"], job["kind"]) for job in await world.jobs()] == [(wanted, "final")]
