"""`parcours compose`: a journey's beginning as one mastered file, and what is refused before it begins."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from libs.common import mp3
from services.composer.engine.plan import SAMPLE_RATE
from services.create.domain.presets import catalogue
from stack.audio_file import Loudness, loudness_of, seconds_of
from stack.composing import Wish, compose, planned, stretches_of
from stack.errors import StackError
from stack.mastering import BLOCK_SAMPLES, Shape, Sound, Stereo, correction, joined

PRESET = "panique-anxiete"
MINUTES = 0.25
FIVE = 5 * SAMPLE_RATE


@pytest.fixture(scope="module")
async def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("composed") / "journey.mp3"
    out.write_bytes(b"an older one")
    assert await compose(Wish(PRESET, out, "fear-0.8", 8, seed=7, minutes=MINUTES, force=True)) == 0
    return out


async def test_an_excerpt_is_as_long_as_asked_and_mastered(excerpt: Path) -> None:
    assert abs(await seconds_of(excerpt) - 60 * MINUTES) < 0.001
    assert mp3.scan(excerpt).samples == round(60 * MINUTES * SAMPLE_RATE)
    found = await loudness_of(excerpt)
    assert abs(found.integrated + 16.0) < 1.0
    assert found.true_peak <= -1.0
    assert [each.name for each in excerpt.parent.iterdir()] == [excerpt.name], "nothing begun is left"


def test_a_composed_file_says_that_a_program_made_it_and_not_for_whom(excerpt: Path) -> None:
    content = excerpt.read_bytes()
    label = content[: mp3.skip_id3(content)]
    assert b"AI_GENERATED\0procedural" in label
    assert b"SEED\x007" in label
    assert b"RECIPE_HASH\0" + b"0" * 64 not in label, "the hash that is known at the end is in its place"
    assert not any(word in label.lower() for word in (b"fear", b"panique", b"suds"))


WHOLE = {"preset": PRESET, "emotion": None, "suds": None, "style": None, "seed": 7}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"preset": "panic"}, "--preset: unknown preset; allowed are "),
        ({"emotion": "fear"}, "--emotion: expected label-intensity, such as fear-0.8"),
        ({"emotion": "hunger-0.5"}, "--emotion: unknown emotion label; allowed are "),
        ({"suds": 11}, "--suds: expected an integer 0…10"),
        ({"style": "metal"}, "--style: unknown style; allowed are piano, bells, strings, drones"),
        ({"seed": -1}, "--seed: expected an integer 0…2147483647"),
        ({"minutes": float("inf")}, "--minutes: expected a number of minutes, found inf"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_the_planner_refuses_is_told_by_its_option(
    tmp_path: Path, wrong: dict[str, object], told: str
) -> None:
    with pytest.raises(StackError) as refused:
        await compose(Wish(out=tmp_path / "journey.mp3", **WHOLE | wrong))  # type: ignore[arg-type]
    assert str(refused.value).startswith(told)


def test_an_unknown_preset_lists_all_twenty() -> None:
    with pytest.raises(StackError) as refused:
        planned(Wish("panic", Path("journey.mp3")))
    assert [preset.key for preset in catalogue().presets if preset.key not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none/journey.mp3", "a folder that exists"),
        ("taken.mp3/journey.mp3", "a folder that exists"),
        ("journey.wav", r"ends with \.mp3"),
        ("taken.mp3", "exists; --force replaces it"),
        ("folder.mp3", "expected a file"),
    ],
)
async def test_a_target_that_cannot_be_written_is_refused_before_anything_is_rendered(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "taken.mp3").write_bytes(b"mine")
    (tmp_path / "folder.mp3").mkdir()
    with pytest.raises(StackError, match=f"^--out: .*{told}"):
        await compose(Wish(PRESET, tmp_path / name, seed=7))
    assert (tmp_path / "taken.mp3").read_bytes() == b"mine"


def test_a_journey_is_all_its_segments_each_tail_under_the_next_head() -> None:
    plan = planned(Wish(PRESET, Path("journey.mp3"), seed=7))
    stretches = stretches_of(plan, None)
    assert [each.tail for each in stretches] == [FIVE] * (len(plan.segments) - 1) + [0]
    assert sum(each.samples - each.tail for each in stretches) == plan.total_seconds * SAMPLE_RATE
    assert stretches_of(plan, 1000.0) == stretches


@pytest.mark.parametrize("seconds", [20.0, 134.9, 137.25, 140.0, 300.001], ids=str)
def test_an_excerpt_ends_where_it_was_cut_also_inside_a_join(seconds: float) -> None:
    plan = planned(Wish(PRESET, Path("journey.mp3"), "fear-0.8", 8, seed=7))
    stretches = stretches_of(plan, seconds / 60)
    assert sum(each.samples - each.tail for each in stretches) == round(seconds * SAMPLE_RATE)
    assert stretches[-1].tail == 0
    assert all(each.tail <= FIVE for each in stretches)


def noise(folder: Path, seed: int, samples: int, tail: int, gain_db: float = 0.0) -> Sound:
    sound = np.random.default_rng(seed).normal(0, 0.1, (samples, 2)).astype("<f4")
    path = folder / f"{seed}.sound"
    path.write_bytes(sound.tobytes())
    return Sound(path, samples, tail, gain_db)


async def heard(*sounds: Sound) -> Stereo:
    async def each() -> AsyncIterator[Sound]:
        for sound in sounds:
            yield sound

    blocks = [block async for block in joined(each())]
    assert max(block.shape[1] for block in blocks) <= BLOCK_SAMPLES
    return np.concatenate(blocks, axis=1)


async def test_a_join_keeps_the_power_of_what_it_joins(tmp_path: Path) -> None:
    whole = await heard(noise(tmp_path, 1, 12 * SAMPLE_RATE, FIVE), noise(tmp_path, 2, 12 * SAMPLE_RATE, 0))
    assert whole.shape == (2, 19 * SAMPLE_RATE)
    levels = 10 * np.log10((whole**2).mean(axis=0).reshape(19, -1).mean(axis=1))
    assert np.ptp(levels) < 0.2


async def test_a_join_of_a_cut_head_ends_with_it(tmp_path: Path) -> None:
    short = 2 * SAMPLE_RATE
    whole = await heard(noise(tmp_path, 1, 9 * SAMPLE_RATE, short), noise(tmp_path, 2, short, 0, gain_db=-6.0))
    assert whole.shape == (2, 9 * SAMPLE_RATE)


def test_fades_begin_and_end_in_silence_and_leave_the_middle() -> None:
    ones = np.ones((2, 10 * SAMPLE_RATE), np.float32)
    faded = Shape(ones.shape[1], fade_in=3.0, fade_out=5.0, seed=1).faded(ones, 0)
    assert abs(faded[0, 0]) + abs(faded[0, -1]) < 1e-6
    assert (faded[:, 4 * SAMPLE_RATE] == 1.0).all()
    assert faded[0, round(1.5 * SAMPLE_RATE)] == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("integrated", "peak", "change"),
    [(-16.4, -2.0, 0.0), (-17.5, -4.0, 1.5), (-16.0, -0.8, -0.3), (-17.5, -1.2, 0.1), (-14.0, -1.5, -2.0)],
)
def test_a_second_coding_only_mends_what_is_wrong(integrated: float, peak: float, change: float) -> None:
    assert correction(Loudness(integrated, peak)) == pytest.approx(change)
