"""A narrated segment: mix and music are stored, windows and levels told; whatever fails but the voice, music plays."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.trust import authorities
from services.archiver.clients.files import Files
from services.archiver.clients.freesound import Freesound, NoEffect
from services.archiver.clients.voices.dialects import OpenAI
from services.archiver.clients.voices.hosted import HostedVoice
from services.archiver.domain.addresses import AllowList
from services.archiver.domain.narration import Effect
from services.archiver.handlers.tools import Tools
from services.archiver.sound.loudness import decode, gated_lufs
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.voices import RECORDED, Answer, SpeechServer, recorded, speech_server
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import FILE_SECONDS, World, carry, whole
from tests.unit.archiver.narrated import TEXTS, say
from tests.unit.archiver.sounds import FFMPEG, decoded_samples

LINES = [
    {"at_seconds": 8.0, "seconds": 6.5, "text": TEXTS["fr"][0]},
    {"at_seconds": 21.0, "seconds": 3.2, "text": TEXTS["fr"][1]},
]


def narration(*, lines: list[dict[str, Any]] = LINES, effect: Effect = "sea") -> dict[str, Any]:
    return {"locale": "fr", "effect": effect, "lines": lines}


@pytest.fixture
async def speech() -> AsyncIterator[SpeechServer]:
    async with speech_server() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as opened:
        yield opened


async def test_mix_and_music_are_stored_and_all_is_told(
    tools: Tools, world: World, web: Web, sounds: Sounds, tmp_path: Path
) -> None:
    segment = await world.segment(narration=narration())
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)

    row = await world.segment_row(segment)
    kept = row["metadata"]
    made = kept["narration"]
    assert (row["status"], row["storage_path"], kept["duration_ms"]) == ("complete", segment.key, FILE_SECONDS * 1000)
    assert (made["state"], made["reason"], made["voice"]) == ("spoken", None, "espeak-ng")
    assert made["effect"] == {"kind": "sea", "source": "own"}
    (first, second) = kept["narration_windows_ms"]
    assert first[0] == 8000
    assert second[0] == 21_000
    assert second[1] <= (FILE_SECONDS - 5 - 10) * 1000
    assert [(one["line"], [one["start_ms"], one["end_ms"]]) for one in made["spoken"]] == [(0, first), (1, second)]
    assert kept["music_bed_gain_db"] == -4.4
    assert {each["check"] for each in made["gate"]} == {
        "duration",
        "voice_margin",
        "mix_loudness",
        "mix_bed",
        "true_peak",
    }
    assert abs(kept["measures"]["lufs"] + 16.0) <= 0.5  # of the music: the gate's rows for it stay

    mixed = await whole(tools.objects, segment.key)
    music = await whole(tools.objects, kept["music_path"])
    assert kept["sha256"] == hashlib.sha256(mixed).hexdigest()
    for name, content in (("mix", mixed), ("music", music)):
        (tmp_path / name).write_bytes(content)
        assert decoded_samples(tmp_path / name) == FILE_SECONDS * 44100
    info = await tools.objects.head(kept["music_path"])
    assert info is not None
    assert info.metadata["attempt-id"] == str(attempt_id)

    ((topic, news),) = await world.news()
    assert (topic, news["narration"], news["narration_windows_ms"]) == ("segment.complete", "spoken", [first, second])
    assert news["music_bed_gain_db"] == -4.4
    assert TEXTS["fr"][0] not in str(news)


async def test_without_a_voice_or_a_line_a_narrated_run_keeps_its_level_and_says_so(
    tools: Tools,
    world: World,
    web: Web,
    sounds: Sounds,
    speech: SpeechServer,
    client: httpx.AsyncClient,
    tmp_path: Path,
) -> None:
    speech.will(recorded("openai/429_quota"))
    web.prefix("/search/", (RECORDED / "freesound" / "429_throttled.json").read_bytes(), status=429)
    url = web.give("/a.mp3", sounds.song)
    wordless = await world.segment(narration=narration(effect="rain"))
    silent = await world.segment(1, run_id=wordless.run_id, narration=narration(lines=[], effect="rain"))
    for segment in (wordless, silent):
        await world.delivered(segment, url)
    await carry(replace(tools, speaker=hosted(client, speech), recordings=freesound(client, web)))
    told = []
    for segment in (wordless, silent):
        row = await world.segment_row(segment)
        made = row["metadata"]["narration"]
        told.append((row["status"], made["state"], made["reason"]))
        assert made["effect"] == {"kind": "rain", "source": "own", "reason": "freesound_throttled"}
        assert (row["metadata"]["narration_windows_ms"], row["metadata"]["music_bed_gain_db"]) == ([], -4.4)
        (tmp_path / "mix.mp3").write_bytes(await whole(tools.objects, segment.key))
        level = gated_lufs((await decode(FFMPEG, ["-i", str(tmp_path / "mix.mp3")], channels=2)).powers)
        assert -21.0 <= level <= -19.0
    assert told == [("complete", "missing", "voice_quota"), ("complete", "silent", None)]
    assert len(speech.asked) == 1  # no second line of a voice that has no money


async def test_a_line_is_asked_for_again_where_it_helps_and_a_recording_lies_under_it_with_its_credit(
    tools: Tools,
    world: World,
    web: Web,
    sounds: Sounds,
    speech: SpeechServer,
    client: httpx.AsyncClient,
    tmp_path: Path,
) -> None:
    wav = Answer(say(TEXTS["fr"][1], "fr-fr", tmp_path / "line.wav").read_bytes())
    busy, refused = recorded("openai/429_rate"), recorded("openai/400_input")
    speech.will(refused, busy, Answer(wav.body, broken=True), wav)
    found = (RECORDED / "freesound" / "200_found.json").read_text(encoding="utf-8")
    web.prefix("/search/", found.replace("https://cdn.freesound.org", web.origin).encode())
    web.give("/previews/0/1234_5-hq.mp3", sounds.short)
    segment = await world.segment(narration=narration())
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(replace(tools, speaker=hosted(client, speech), recordings=freesound(client, web), time_scale=0.05))
    made = (await world.segment_row(segment))["metadata"]["narration"]
    assert (made["state"], made["reason"], made["voice"]) == ("partial", "voice_refused", "openai")
    assert [one["line"] for one in made["spoken"]] == [1]
    assert [asked.body["input"] for asked in speech.asked] == [TEXTS["fr"][0], *[TEXTS["fr"][1]] * 3]
    assert made["effect"] == {
        "kind": "sea",
        "source": "freesound",
        "title": "Calm sea at night",
        "author": "alice",
        "url": "https://freesound.org/people/alice/sounds/1234/",
        "licence": "CC BY 4.0",
        "licence_url": "http://creativecommons.org/licenses/by/4.0/",
        "changes": "looped, levelled, mixed under a voice",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("401_key", "freesound_key"),
        ("404_missing", "freesound_unavailable"),
        ("200_other_licences", "freesound_licence"),
        ("200_found", "freesound_file"),  # its file is gone
    ],
)
async def test_freesound_says_no_in_its_own_ways(
    web: Web, client: httpx.AsyncClient, tmp_path: Path, name: str, reason: str
) -> None:
    body = (RECORDED / "freesound" / f"{name}.json").read_text(encoding="utf-8")
    web.prefix("/search/", body.replace("https://cdn.freesound.org", web.origin).encode(), status=int(name[:3]))
    with pytest.raises(NoEffect) as failure:
        await freesound(client, web).fetch("rain", tmp_path / "rain")
    assert failure.value.reason == reason


async def test_after_a_429_freesound_is_left_alone_for_a_minute(
    web: Web, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    web.prefix("/search/", b"{}", status=429)
    throttled = freesound(client, web)
    for _ in range(2):
        with pytest.raises(NoEffect, match="freesound_throttled"):
            await throttled.fetch("sea", tmp_path / "sea")
    assert len(web.asked) == 1


async def test_a_recording_from_a_host_that_is_not_allowed_is_not_fetched(
    web: Web, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    web.prefix("/search/", (RECORDED / "freesound" / "200_found.json").read_bytes())
    strict = Freesound(client, Files(AllowList.of(("sounds.example",), ())), web.origin, "a-key")
    with pytest.raises(NoEffect, match="freesound_file"):
        await strict.fetch("sea", tmp_path / "sea")


def hosted(client: httpx.AsyncClient, speech: SpeechServer) -> HostedVoice:
    return HostedVoice(client, speech.origin, OpenAI("a-key", "gpt-4o-mini-tts", "sage"))


def freesound(client: httpx.AsyncClient, web: Web) -> Freesound:
    return Freesound(client, Files(AllowList.of((), (web.origin,))), web.origin, "a-key")
