"""A file that will not do fails its attempt with the reason; what may pass is tried again; W4 decides the addresses."""

import asyncio
import hashlib

import pytest

from services.archiver.handlers.finals import MISTAKE_TRIES
from services.archiver.handlers.tools import Tools
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import World, carry, whole

FAILED, PREVIEWED = "segment.failed", "segment.previewed"
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


async def test_a_file_that_our_own_code_breaks_on_fails_its_attempt_in_the_end(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment(loudness_lufs="no number")
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    for _ in range(MISTAKE_TRIES):
        assert await world.topics() == []
        await carry(tools)
        await world.due_now()
    assert (await world.attempt_row(attempt_id))["error_code"] == "archive_error"
    assert (await world.topics(), await world.jobs()) == ([FAILED], [])


async def test_an_object_that_stays_unknown_does_not_hold_its_run_for_ever(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    foreign = b"somebody else's"
    digest = hashlib.sha256(foreign).digest()
    await tools.objects.put(segment.key, foreign, content_type="audio/mpeg", sha256=digest, metadata={}, if_absent=True)
    await world.connection.execute("UPDATE archive_jobs SET created_at = now() - interval '15 days'")
    await carry(tools)
    assert (await world.attempt_row(attempt_id))["error_code"] == "file_gone"
    assert await whole(tools.objects, segment.key) == foreign


@pytest.mark.parametrize("dialect", ["suno", "kie"])
async def test_a_correct_token_with_foreign_addresses_downloads_nothing_foreign(
    tools: Tools, world: World, web: Web, sounds: Sounds, dialect: str
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/foreign.mp3", sounds.other), dialect=dialect)
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


async def test_giving_up_waits_for_whoever_holds_the_segment_before_it_touches_the_attempt(
    tools: Tools, world: World, web: Web
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", HTML))
    await world.connection.execute(
        "UPDATE parcours_segments SET metadata = $1", {"preview_path": f"previews/{segment.segment_id}-1.mp3"}
    )
    async with world.connection.transaction():  # the generator writes a late reply: segment, then attempt
        await world.connection.execute(
            "SELECT FROM parcours_segments WHERE id = $1 FOR NO KEY UPDATE", segment.segment_id
        )
        carrying = asyncio.create_task(carry(tools))
        await _until_somebody_waits(world)
        await world.connection.execute("UPDATE segment_attempts SET cost = 1 WHERE id = $1", attempt_id)
    await asyncio.wait_for(carrying, 20)
    assert await world.topics() == [FAILED, PREVIEWED]


async def _until_somebody_waits(world: World) -> None:
    async with asyncio.timeout(20):
        while not await world.connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await asyncio.sleep(0.02)
