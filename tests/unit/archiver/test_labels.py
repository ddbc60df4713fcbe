"""A label names who made the music and how, in the run's language, and nothing of the person it is for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libs.common import mp3
from services.archiver.domain.labels import Maker, Origin, label_of, makers_of, tag_of
from services.archiver.sound.coding import bring_to_form, keep_as_received
from services.archiver.sound.measure import inspect
from tests.unit.archiver.sounds import FFMPEG, decoded, noise
from tests.unit.archiver.test_sound import composers_file, wanted
from tests.unit.common.test_id3 import read_back

ORIGIN = Origin("fr", 2, 5, "c0ffee")
PART = {"source": "provider", "take": 1, "from_seconds": 0.0, "to_seconds": 46.0}
FACTS = {"content": [{"model": "chirp-v5"}, {"model": "chirp-v5"}]}


def tag(parts: Any = (PART,), *, provider: str = "suno", facts: Any = FACTS, origin: Origin = ORIGIN) -> bytes:
    return tag_of(label_of(origin, makers_of(provider, facts, parts), parts), origin)


def write(path: Path, tag: bytes) -> dict[str, str]:
    path.write_bytes(tag + noise(path.with_name("bare.mp3"), 0.5).read_bytes())
    return read_back(path)


def test_a_models_music_is_marked_as_such_with_its_system_and_recipe(tmp_path: Path) -> None:
    found = write(tmp_path / "a.mp3", tag())
    assert (found["AI_GENERATED"], found["AI_SYSTEM"]) == ("true", "suno chirp-v5")
    assert (found["title"], found["track"], found["LICENCE"]) == ("Séance 3/5", "3/5", "by the terms of suno")
    assert found["comment"] == "Musique créée par une IA (suno chirp-v5)"
    assert len(found["RECIPE_HASH"]) == 64
    english = Origin("en", 2, 5, "c0ffee")
    assert write(tmp_path / "b.mp3", tag(origin=english))["comment"] == "Music made by AI (suno chirp-v5)"


def test_composers_music_is_marked_as_procedural(tmp_path: Path) -> None:
    facts = {"content": [{"model": "pad3", "engine": "pad3", "engine_version": "7"}]}
    found = write(tmp_path / "a.mp3", tag(provider="composer", facts=facts))
    assert (found["AI_GENERATED"], found["AI_SYSTEM"]) == ("procedural", "composer pad3 7")
    assert found["comment"] == "Musique composée par un programme, sans modèle d'IA (composer pad3 7)"


def test_a_file_that_composer_completed_names_both_and_counts_as_a_models() -> None:
    parts: list[dict[str, Any]] = [PART, {"source": "composer", "take": None, "from_seconds": 41.0, "to_seconds": 60.0}]
    label = label_of(ORIGIN, makers_of("suno", FACTS, parts), parts)
    assert (label.kind, label.system) == ("true", "suno chirp-v5; composer")
    assert label.record()["ai"] == {"music": "true", "system": "suno chirp-v5; composer"}


def test_a_provider_that_says_nothing_of_itself_is_named_alone() -> None:
    assert makers_of("fal", {}, [PART]) == (Maker("fal"),)


def test_recipes_have_hashes_of_their_own() -> None:
    others = [
        tag(origin=Origin("fr", 3, 5, "c0ffee")),
        tag(origin=Origin("fr", 2, 5, "decaf0")),
        tag(parts=[PART | {"take": 2}]),
        tag(provider="kie"),
    ]
    assert len({tag(), *others}) == 5
    assert tag() == tag()


@pytest.mark.parametrize("way", ["frames kept", "coded", "as received"])
async def test_a_labelled_file_plays_sample_by_sample_as_without(tmp_path: Path, way: str) -> None:
    files = []
    for name, label in (("bare", lambda _parts: b""), ("labelled", tag)):
        folder = tmp_path / name
        folder.mkdir()
        if way == "frames kept":
            take = await inspect(FFMPEG, composers_file(folder / "c.mp3", 5, 0.05), keep_seconds=4)
            formed = await bring_to_form(FFMPEG, [take], wanted(4, lufs=take.measures.lufs), folder, label)
        elif way == "coded":
            take = await inspect(FFMPEG, noise(folder / "a.wav", 4), keep_seconds=4)
            formed = await bring_to_form(FFMPEG, [take], wanted(4), folder, label)
        else:
            take = await inspect(FFMPEG, noise(folder / "a.mp3", 3), keep_seconds=None)
            formed = await keep_as_received(FFMPEG, take, folder, label)
        assert formed.coded == (way == "coded")
        files.append(formed.path)
    bare, labelled = files
    written = labelled.read_bytes()
    assert written.endswith(bare.read_bytes())
    first = mp3.parse_header(written[mp3.skip_id3(written) :][:4])
    assert first is not None
    assert b"Info" in written[mp3.skip_id3(written) :][: first.size]  # the first frame says how much to skip
    assert decoded(labelled) == decoded(bare)
    assert read_back(labelled)["AI_SYSTEM"] == "suno chirp-v5"
    assert mp3.scan(labelled) == shifted(mp3.scan(bare), len(written) - bare.stat().st_size)


def shifted(layout: mp3.Layout, by: int) -> mp3.Layout:
    return replace(layout, audio_start=layout.audio_start + by)
