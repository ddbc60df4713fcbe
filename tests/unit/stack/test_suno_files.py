"""The files: real MP3s cut to any length at frames, streams that grow with the stage clock, and the faults of both."""

import asyncio
from pathlib import Path

import httpx
import pytest

from libs.common import mp3
from stack.audio_file import ffmpeg, run_ffmpeg, seconds_of
from stack.simulators.suno.sound import Sound
from tests.unit.stack.suno_rig import World, world

AUDIO = 150.0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a tone, as LAME makes them."""
    path = tmp_path_factory.mktemp("audio") / "tone.mp3"
    source = ("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=44100:duration=12", "-ac", "2")
    asyncio.run(run_ffmpeg(*source, "-codec:a", "libmp3lame", "-b:a", "192k", str(path)))
    return path


async def get(one: World, task_id: str, name: str = "0.mp3", **headers: str) -> httpx.Response:
    return await one.client.get(f"/files/{task_id}/{name}", headers=headers)


async def finished(one: World, **changes: object) -> str:
    task_id = await one.begin(**changes)
    await one.clock.advance(AUDIO)
    return task_id


@pytest.mark.parametrize("seconds", [10, 12, 31, 200])
def test_a_cut_decodes_to_the_length_that_was_asked_for(prepared: Path, tmp_path: Path, seconds: int) -> None:
    assert ffmpeg()
    cut = Sound.read(prepared).cut(seconds)
    path = tmp_path / "cut.mp3"
    path.write_bytes(b"".join(cut.chunks()))
    assert path.stat().st_size == cut.size
    assert mp3.scan(path).seconds == seconds
    assert asyncio.run(seconds_of(path)) == seconds


def test_a_cut_reads_the_same_in_any_pieces(prepared: Path) -> None:
    cut = Sound.read(prepared).cut(31)
    whole = cut.read(0, cut.size)
    assert len(whole) == cut.size
    assert b"".join(cut.read(at, min(at + 999, cut.size)) for at in range(0, cut.size, 999)) == whole


def test_the_same_length_is_cut_once(prepared: Path) -> None:
    sound = Sound.read(prepared)
    assert sound.cut(31.0) is sound.cut(31.0)


def test_silence_is_an_mp3_of_any_length() -> None:
    sound = Sound.silence()
    assert sound.seconds > 360
    assert mp3.scan_bytes(b"".join(sound.cut(200).chunks())).seconds == 200


async def test_what_is_no_mp3_is_served_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3 not really music")
    async with world(audio=path) as one:
        assert (await get(one, await finished(one))).content == b"ID3 not really music"


async def test_both_songs_are_files_of_the_length_that_record_info_tells(prepared: Path) -> None:
    async with world(audio=prepared) as one:
        for changes, seconds in (({"duration": 31}, 31), ({"model": "V6"}, 20), ({}, 12)):
            task_id = await finished(one, **changes)
            for item in (await one.record(task_id))["response"]["sunoData"]:
                for name in ("audioUrl", "streamAudioUrl"):
                    answer = await one.client.get(item[name])
                    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
                    frames = mp3.scan_bytes(answer.content).frames
                    assert frames == mp3.frames_needed(round(seconds * 44100))
                assert item["duration"] == pytest.approx(seconds, abs=0.05)
        downloads = (await one.ledger())["accepted"][0]["downloads"]
        assert [(one["take"], one["stream"], one["status"]) for one in downloads] == [
            (0, False, 200), (0, True, 200), (1, False, 200), (1, True, 200)
        ]  # fmt: skip


async def test_a_file_is_there_when_its_address_is_told_and_not_before() -> None:
    async with world() as one:
        task_id = await one.begin()
        seen = {}
        for status in ("PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"):
            if status == "SUCCESS":
                assert [(await get(one, task_id, f"{take}.mp3")).status_code for take in (0, 1)] == [200, 404]
                await one.clock.advance(AUDIO)
            seen[status] = [(await get(one, task_id, name)).status_code for name in ("1.mp3",)]
            await one.clock.advance({"PENDING": 12, "TEXT_SUCCESS": 23}.get(status, 0))
        assert seen == {"PENDING": [404], "TEXT_SUCCESS": [404], "FIRST_SUCCESS": [404], "SUCCESS": [200]}
        for path in (f"{task_id}/2.mp3", f"{task_id}/0.wav", "0" * 32 + "/0.mp3"):
            assert (await one.client.get(f"/files/{path}")).status_code == 404


async def test_a_failed_task_has_no_file() -> None:
    async with world() as one:
        await one.switch({"fault": "fail", "at": "complete"})
        assert (await get(one, await finished(one))).status_code == 404


async def test_a_range_of_a_file_can_be_asked_for() -> None:
    async with world() as one:
        task_id = await finished(one, duration=60)
        whole = (await get(one, task_id)).content
        part = await get(one, task_id, Range="bytes=100-299")
        assert (part.status_code, part.content) == (206, whole[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{len(whole)}"
        assert (await get(one, task_id, Range=f"bytes={len(whole) - 5}-")).content == whole[-5:]
        assert (await get(one, task_id, Range=f"bytes={len(whole)}-")).status_code == 416


async def test_a_stream_grows_with_the_stage_clock_and_ends_when_the_song_is_complete() -> None:
    async with world() as one:
        task_id = await one.begin(duration=120)
        await one.clock.advance(35)
        grown = await streamed(one, task_id, (0.0, 28.75, 28.75, 57.4, 0.2))
        whole = one.reseller.sound.cut(120.0)
        shares = [size / whole.audio_bytes for size in grown]
        assert shares[:3] == [pytest.approx(share, abs=0.01) for share in (0.05, 0.2875, 0.525)]
        assert shares[3] == pytest.approx(0.98, abs=0.01)
        assert grown[-1] == whole.audio_bytes


async def streamed(one: World, task_id: str, steps: tuple[float, ...]) -> list[int]:
    """How much of a stream was sent after each of these pauses."""
    from starlette.requests import Request  # noqa: PLC0415 - the one place that needs it

    from stack.simulators.suno.downloads import Downloads  # noqa: PLC0415

    scope = {"type": "http", "headers": [], "path_params": {"task_id": task_id, "name": "0.stream.mp3"}}
    answer = await Downloads(one.reseller).file(Request(scope))
    sent = [0]

    async def read() -> None:
        async for piece in answer.body_iterator:  # type: ignore[attr-defined]
            sent[0] += len(piece)

    reading = asyncio.create_task(read())
    sizes = []
    for step in steps:
        await one.clock.advance(step)
        sizes.append(sent[0])
    await reading
    return sizes


# --- faults of files ---


async def test_a_file_can_be_gone_broken_or_a_web_page_each_for_one_take_or_kind() -> None:
    async with world() as one:
        task_id = await finished(one, duration=10)
        await one.switch(
            {"fault": "file_gone", "take": 0, "stream": False},
            {"fault": "file_error", "status": 500, "take": 1, "stream": False},
            {"fault": "file_html", "stream": True},
        )
        assert [(await get(one, task_id, f"{take}.mp3")).status_code for take in (0, 1)] == [404, 500]
        page = await get(one, task_id, "1.stream.mp3")
        assert (page.status_code, page.headers["content-type"], page.content[:9]) == (200, "audio/mpeg", b"<!DOCTYPE")
        entry = await one.entry()
        assert entry["faults"] == ["file_gone", "file_error", "file_html"]
        assert [download["status"] for download in entry["downloads"]] == [404, 500, 200]


async def test_a_file_can_be_whole_and_silent(prepared: Path, tmp_path: Path) -> None:
    async with world(audio=prepared) as one:
        task_id = await finished(one, duration=10)
        await one.switch({"fault": "file_silent", "take": 0, "stream": False})
        path = tmp_path / "silent.mp3"
        path.write_bytes((await get(one, task_id)).content)
        assert mp3.scan(path).seconds == 10
        said = await run_ffmpeg("-i", str(path), "-af", "volumedetect", "-f", "null", "-")
        assert "max_volume: -91.0 dB" in said
        assert (await get(one, task_id, "1.mp3")).content != path.read_bytes()


async def test_a_file_can_be_cut_short_honestly_or_lost_in_the_middle() -> None:
    async with world() as one:
        task_id = await finished(one, duration=60)
        size = len((await get(one, task_id)).content)
        await one.switch({"fault": "file_truncated", "fraction": 0.25, "times": 1})
        short = await get(one, task_id)
        assert (len(short.content), short.headers["content-length"]) == (size // 4, str(size // 4))
        await one.switch({"fault": "file_truncated", "how": "lost"})
        with pytest.raises(httpx.ReadError):
            await get(one, task_id)


async def test_a_file_can_drip() -> None:
    async with world() as one:
        task_id = await finished(one, duration=10)
        whole = (await get(one, task_id)).content
        await one.switch({"fault": "slow_file", "seconds": 60})
        reading = asyncio.create_task(get(one, task_id))
        await one.clock.advance(59)
        assert not reading.done()
        await one.clock.advance(1.1)
        assert (await reading).content == whole


async def test_a_callback_made_by_hand_finds_the_prepared_file_under_any_name() -> None:
    async with world() as one:
        whole = await one.client.get("/_sim/audio/smoke-0.stream.mp3")
        assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/mpeg")
        piece = await one.client.get("/_sim/audio/late.mp3", headers={"Range": "bytes=0-9"})
        assert (piece.status_code, piece.content) == (206, whole.content[:10])
        short = await one.client.get("/_sim/audio/late.mp3", params={"seconds": "46"})
        assert len(short.content) / len(whole.content) == pytest.approx(46 / 361, rel=0.01)
        assert (await one.client.get("/_sim/audio/late.mp3", params={"seconds": "x"})).status_code == 400
        assert (await one.client.get("/files/smoke/0.mp3")).status_code == 404
