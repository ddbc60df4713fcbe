"""Voices over their own APIs: what is asked, what a refusal means, and how long a line is whatever its header says.

The servers play bodies written after the services' documents; no service was called.
"""

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from libs.common.trust import authorities
from services.archiver.clients.voices.dialects import ElevenLabs, Google, OpenAI
from services.archiver.clients.voices.espeak import Espeak
from services.archiver.clients.voices.hosted import Dialect, HostedVoice
from services.archiver.domain.narration import Unspoken, Why
from services.archiver.sound.speech import read_spoken
from tests.integration.archiver.voices import Answer, SpeechServer, recorded, speech_server
from tests.unit.archiver.sounds import FFMPEG

TEXT = "Votre souffle trouve son propre rythme."
DIALECTS: dict[str, Dialect] = {
    "elevenlabs": ElevenLabs("a-key", "eleven_multilingual_v2", "a-voice"),
    "openai": OpenAI("a-key", "gpt-4o-mini-tts", "sage"),
    "google": Google("a-key"),
}


@pytest.fixture
async def speech() -> AsyncIterator[SpeechServer]:
    async with speech_server() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as opened:
        yield opened


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The line as espeak-ng says it: 2.4 s."""
    assert shutil.which("espeak-ng"), "espeak-ng is missing; type: make setup-test"
    path = tmp_path_factory.mktemp("line") / "line.wav"
    subprocess.run(["espeak-ng", "-v", "fr-fr", "-s", "130", "-w", str(path), TEXT], check=True)
    return path.read_bytes()


@pytest.fixture(scope="module")
def mp3(wav: bytes) -> bytes:
    command = [str(FFMPEG), "-v", "error", "-i", "pipe:0", "-b:a", "128k", "-f", "mp3", "pipe:1"]
    return subprocess.run(command, input=wav, check=True, capture_output=True).stdout


async def say(client: httpx.AsyncClient, speech: SpeechServer, name: str, into: Path) -> None:
    await HostedVoice(client, speech.origin, DIALECTS[name]).speak(TEXT, "fr", into)


async def test_elevenlabs_is_asked_for_mp3_with_its_own_header(
    client: httpx.AsyncClient, speech: SpeechServer, mp3: bytes, tmp_path: Path
) -> None:
    speech.will(Answer(mp3))
    await say(client, speech, "elevenlabs", tmp_path / "line")
    (asked,) = speech.asked
    assert (asked.method, asked.path) == ("POST", "/v1/text-to-speech/a-voice?output_format=mp3_44100_128")
    assert asked.headers["xi-api-key"] == "a-key"
    assert asked.body == {"text": TEXT, "model_id": "eleven_multilingual_v2"}
    assert 2.0 < (await read_spoken(FFMPEG, tmp_path / "line")).seconds < 3.0


async def test_openai_is_asked_for_a_calm_wav(
    client: httpx.AsyncClient, speech: SpeechServer, wav: bytes, tmp_path: Path
) -> None:
    speech.will(Answer(wav))
    await say(client, speech, "openai", tmp_path / "line")
    (asked,) = speech.asked
    assert (asked.path, asked.headers["authorization"]) == ("/audio/speech", "Bearer a-key")
    assert (asked.body["input"], asked.body["voice"], asked.body["response_format"]) == (TEXT, "sage", "wav")
    assert "calmly" in asked.body["instructions"]
    assert "instructions" not in OpenAI("k", "tts-1-hd", "sage").ask(TEXT, "fr").body


async def test_google_answers_with_base64_in_json(
    client: httpx.AsyncClient, speech: SpeechServer, wav: bytes, tmp_path: Path
) -> None:
    speech.will(Answer(json.dumps({"audioContent": base64.b64encode(wav).decode()}).encode()))
    await say(client, speech, "google", tmp_path / "line")
    (asked,) = speech.asked
    assert (asked.path, asked.headers["x-goog-api-key"]) == ("/v1/text:synthesize", "a-key")
    assert (asked.body["input"], asked.body["voice"]["languageCode"]) == ({"text": TEXT}, "fr-FR")
    assert (tmp_path / "line").read_bytes() == wav


@pytest.mark.parametrize(
    ("name", "retry_after", "why", "waits"),
    [
        ("elevenlabs/401_invalid_api_key", None, Why.KEY, None),
        ("elevenlabs/401_quota", None, Why.QUOTA, None),
        ("elevenlabs/402_plan", None, Why.QUOTA, None),
        ("elevenlabs/422_list", None, Why.REFUSED, None),
        ("elevenlabs/429_rate", "3", Why.THROTTLED, 3.0),
        ("elevenlabs/429_concurrent", None, Why.THROTTLED, 2.0),
        ("openai/400_input", None, Why.REFUSED, None),
        ("openai/401_key", None, Why.KEY, None),
        ("openai/429_quota", "1", Why.QUOTA, None),
        ("openai/429_rate", "300", Why.THROTTLED, 10.0),
        ("openai/500_server", None, Why.UNAVAILABLE, 2.0),
        ("google/400_argument", None, Why.REFUSED, None),
        ("google/403_permission", None, Why.KEY, None),
        ("google/429_exhausted", None, Why.THROTTLED, 2.0),
    ],
)
async def test_a_refusal_says_whether_waiting_helps(
    client: httpx.AsyncClient,
    speech: SpeechServer,
    tmp_path: Path,
    name: str,
    retry_after: str | None,
    why: Why,
    waits: float | None,
) -> None:
    speech.will(recorded(name, **({"retry-after": retry_after} if retry_after else {})))
    with pytest.raises(Unspoken) as failure:
        await say(client, speech, name.split("/", maxsplit=1)[0], tmp_path / "line")
    assert (failure.value.why, failure.value.after_seconds) == (why, waits)
    assert not (tmp_path / "line").exists()


@pytest.mark.parametrize(
    ("dialect", "answer", "why"),
    [
        ("elevenlabs", Answer(b"x" * 4096, broken=True), Why.UNAVAILABLE),  # cut off: less came than was announced
        ("google", Answer(b'{"audioContent": "UklGR'), Why.AUDIO),
        ("google", Answer(b'{"audioContent": "U~klGR"}'), Why.AUDIO),
        ("google", Answer(b"{}"), Why.AUDIO),
        ("openai", Answer(b"", 302, {"location": "http://127.0.0.1:1/"}), Why.REFUSED),
        ("openai", Answer(b"<html>", 502), Why.UNAVAILABLE),
    ],
)
async def test_an_answer_that_is_none_is_told_apart(
    client: httpx.AsyncClient, speech: SpeechServer, tmp_path: Path, dialect: str, answer: Answer, why: Why
) -> None:
    speech.will(answer)
    with pytest.raises(Unspoken) as failure:
        await say(client, speech, dialect, tmp_path / "line")
    assert failure.value.why is why
    assert len(speech.asked) == 1  # no redirect is followed


async def test_a_service_that_is_not_there_may_be_there_later(client: httpx.AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(Unspoken) as failure:
        await HostedVoice(client, "http://127.0.0.1:1", DIALECTS["openai"]).speak(TEXT, "fr", tmp_path / "line")
    assert (failure.value.why, failure.value.after_seconds) == (Why.UNAVAILABLE, 2.0)


@pytest.mark.parametrize("lie", [0, 1000, 0xFFFFFFFF])
async def test_a_line_is_as_long_as_its_sound_whatever_its_header_says(wav: bytes, tmp_path: Path, lie: int) -> None:
    (tmp_path / "honest").write_bytes(wav)
    at = wav.index(b"data") + 4
    (tmp_path / "lying").write_bytes(wav[:at] + lie.to_bytes(4, "little") + wav[at + 4 :])
    honest = await read_spoken(FFMPEG, tmp_path / "honest")
    lying = await read_spoken(FFMPEG, tmp_path / "lying")
    assert abs(lying.seconds - honest.seconds) < 0.005


@pytest.mark.parametrize("what", ["html", "nothing", "silence", "cut"])
async def test_what_is_no_speech_is_refused(wav: bytes, mp3: bytes, tmp_path: Path, what: str) -> None:
    bodies = {"html": b"<html>", "nothing": b"", "silence": wav[:44] + bytes(len(wav) - 44), "cut": mp3[:200]}
    (tmp_path / "line").write_bytes(bodies[what])
    with pytest.raises(Unspoken) as failure:
        await read_spoken(FFMPEG, tmp_path / "line")
    assert failure.value.why is Why.AUDIO


async def test_a_program_that_is_not_installed_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unspoken) as failure:
        await Espeak(tmp_path / "espeak-ng").speak(TEXT, "fr", tmp_path / "line")
    assert (failure.value.why, failure.value.after_seconds) == (Why.NOT_INSTALLED, None)
