"""The planner: worked examples reproduced number by number, and what each input changes."""

from dataclasses import replace

import pytest

from services.create.domain import emotion, plan, planner
from services.create.domain.errors import ArcError, SeedError, StyleError, SudsError, UnknownPresetError

KEY = b"a server key for tests"


def planned(
    preset: str,
    state: str | None,
    suds: int | None = None,
    *,
    seed: int = 7,
    style: str | None = None,
    arc: str = "auto",
) -> plan.Plan:
    given = None if state is None else emotion.parse(state)
    assert arc in {"auto", "gentle"}
    request = planner.PlanRequest(preset, seed, given, suds, style, "gentle" if arc == "gentle" else "auto")
    return planner.make_plan(request, key=KEY)


def row(segment: plan.PlannedSegment) -> str:
    minutes, seconds = divmod(segment.start_seconds, 60)
    return (
        f"{segment.index + 1} {minutes}:{seconds:02} {segment.seconds} {segment.x:.3f} {segment.phase} "
        f"{segment.valence:.2f} {segment.arousal:+.2f} {segment.bpm} {segment.mode} {segment.density:.2f} "
        f"{segment.brightness:.2f} {segment.pulse:.2f} {segment.loudness_lufs:.1f}"
    )


EXAMPLES = {
    ("panique-anxiete", "fear-0.8", 8): """
        1 0:00 130 0.054 match -0.52 +0.75 90 aeolian 0.68 0.54 0.68 -15.5
        2 2:10 120 0.158 ease -0.51 +0.74 90 aeolian 0.68 0.54 0.67 -15.5
        3 4:10 230 0.304 ease -0.37 +0.54 90 aeolian 0.62 0.50 0.49 -15.7
        4 8:00 240 0.500 deepen -0.03 +0.06 80 dorian 0.48 0.39 0.05 -16.0
        5 12:00 240 0.700 deepen 0.30 -0.41 70 mixolydian 0.35 0.28 0.00 -16.3
        6 16:00 240 0.900 settle 0.40 -0.55 64 mixolydian 0.31 0.25 0.00 -16.4
    """,
    ("colere-irritabilite", "anger-0.6", 6): """
        1 0:00 125 0.047 match -0.36 +0.53 85 aeolian 0.62 0.49 0.48 -15.6
        2 2:05 180 0.163 ease -0.35 +0.51 84 aeolian 0.61 0.49 0.46 -15.6
        3 5:05 295 0.343 ease -0.07 +0.07 74 dorian 0.49 0.39 0.06 -15.9
        4 10:00 240 0.545 ease 0.28 -0.46 66 dorian 0.33 0.27 0.00 -16.3
        5 14:00 240 0.727 rest 0.30 -0.50 66 dorian 0.32 0.26 0.00 -16.3
        6 18:00 240 0.909 return 0.34 -0.15 68 dorian 0.42 0.34 0.00 -16.1
    """,
    ("apathie-demotivation", "numb-0.7", 4): """
        1 0:00 120 0.056 match -0.28 -0.54 81 dorian 0.31 0.25 0.00 -16.3
        2 2:00 180 0.194 ease -0.26 -0.52 82 dorian 0.32 0.26 0.00 -16.3
        3 5:00 300 0.417 ease 0.00 -0.25 88 mixolydian 0.39 0.32 0.00 -16.1
        4 10:00 300 0.694 deepen 0.41 +0.16 98 ionian 0.51 0.41 0.14 -15.8
        5 15:00 180 0.917 settle 0.50 +0.25 100 ionian 0.54 0.43 0.23 -15.7
    """,
}


@pytest.mark.parametrize(("given", "table"), list(EXAMPLES.items()), ids=["A", "B", "C"])
def test_the_worked_examples_are_reproduced(given: tuple[str, str, int], table: str) -> None:
    assert [row(segment) for segment in planned(*given).segments] == [
        line.strip() for line in table.strip().splitlines()
    ]


@pytest.mark.parametrize(
    ("state", "suds", "arousal", "arc", "first", "speeds", "modes"),
    [
        ("fear-0.8", 3, 0.50, "iso", 120, "89 89 85 76 67 64", "aeo aeo aeo dor mix mix"),
        ("fear-0.2", 3, 0.05, "iso", 110, "78 78 76 71 66 64", "dor dor dor mix mix mix"),
        ("fear-0.8", None, 0.60, "iso", 130, "90 90 87 77 67 64", "aeo aeo aeo dor mix mix"),
        ("fear-0.8", 9, 0.80, "gentle", 135, "77 77 75 70 65 64", "mix mix mix mix mix mix"),
        ("sadness-0.8", 5, -0.32, "iso", 125, "70 70 70 70 70 70", "aeo aeo aeo dor mix mix"),
    ],
)
def test_the_five_variants_of_example_a_are_reproduced(
    state: str, suds: int | None, arousal: float, arc: str, first: int, speeds: str, modes: str
) -> None:
    made = planned("panique-anxiete", state, suds)
    begins_at = made.path.start.arousal
    if arc == "gentle":  # the table shows A0, the plan holds the moved start: undo lerp(A0, At, 0.6)
        begins_at = (begins_at - 0.6 * made.path.target.arousal) / 0.4
    assert begins_at == pytest.approx(arousal)
    assert (made.path.arc, made.segments[0].seconds) == (arc, first)
    assert " ".join(str(segment.bpm) for segment in made.segments) == speeds
    assert " ".join(segment.mode[:3] for segment in made.segments) == modes


def test_example_c_with_suds_8_is_calmed() -> None:
    made = planned("apathie-demotivation", "numb-0.7", 8)
    assert made.calmed
    assert (made.path.start.arousal, made.path.target.arousal) == (-0.34, -0.10)
    assert [segment.bpm for segment in made.segments] == [62, 62, 64, 67, 68]
    assert {segment.groove for segment in made.segments} == {0.0}
    assert "hand claps" not in " ".join(made.timbre_words)


@pytest.mark.parametrize("preset", ["apathie-demotivation", "manque-confiance", "motivation-energie"])
def test_only_rising_presets_are_calmed_and_only_from_suds_7(preset: str) -> None:
    assert not planned(preset, "fear-0.5", 6).calmed
    assert planned(preset, "fear-0.5", 7).calmed
    assert not planned("concentration-flow", "fear-0.5", 10).calmed


def test_a_low_start_is_never_pulled_further_down_up_to_suds_6() -> None:
    low = planned("hypersensibilite", "boredom-0.4", 6)
    assert low.path.target.arousal == pytest.approx(low.path.start.arousal) == pytest.approx(-0.19)
    assert planned("hypersensibilite", "boredom-0.4", 7).path.target.arousal == -0.60


def test_a_u_needs_something_to_descend_from() -> None:
    assert planned("universel-reset", "fear-0.5").path.arc == "U"
    assert planned("universel-reset", "sadness-0.1").path.arc == "iso"
    assert planned("universel-reset", "calm-0.6", 5).path.arc == "iso"


def test_gentle_on_wish_and_from_suds_9() -> None:
    assert planned("colere-irritabilite", "anger-0.6", 3, arc="gentle").path.arc == "gentle"
    assert planned("colere-irritabilite", "anger-0.6", 8).path.arc == "U"
    assert planned("colere-irritabilite", "anger-0.6", 9).path.arc == "gentle"
    assert planned("colere-irritabilite", "anger-0.6", 9).groove == 0


def test_with_neither_emotion_nor_suds_nothing_is_personalised_and_the_arc_is_gentle() -> None:
    made = planned("panique-anxiete", None)
    assert (made.emotion_source, made.path.arc) == ("preset", "gentle")
    asked = planned("panique-anxiete", None, 5)
    assert (asked.emotion_source, asked.path.arc) == ("preset", "iso")


def test_suds_7_replaces_the_demanding_techniques_and_keeps_the_durations() -> None:
    before, after = planned("peur-anticipatoire", "fear-0.8", 6), planned("peur-anticipatoire", "fear-0.8", 7)
    assert [s.techniques[0] for s in before.segments][1:5] == ["fear_ladder", "imaginal_1", "safe_place", "imaginal_2"]
    assert [s.techniques[0] for s in after.segments][1:5] == ["ground_54321", "safe_place", "safe_place", "safe_place"]
    assert after.total_seconds == before.total_seconds


@pytest.mark.parametrize(
    ("suds", "softer", "support"),
    [(None, False, False), (5, False, False), (6, True, False), (8, True, False), (9, True, True)],
)
def test_suds_softens_breath_fade_and_screen_from_6_and_shows_support_from_9(
    suds: int | None, *, softer: bool, support: bool
) -> None:
    made = planned("panique-anxiete", "fear-0.8", suds)
    assert (made.out_breath_seconds, made.fade_in_seconds, made.dimmed) == ((7, 6, True) if softer else (6, 3, False))
    assert made.support_first is support


def test_every_file_but_the_last_has_a_five_second_tail() -> None:
    for segment in planned("panique-anxiete", "fear-0.8", 8).segments:
        assert segment.file_seconds - segment.seconds == (0 if segment.index == 5 else 5)


@pytest.mark.parametrize(("seed", "tonic"), list(enumerate(["C", "D", "Eb", "F", "G", "A"])))
def test_the_seed_chooses_the_tonic(seed: int, tonic: str) -> None:
    assert planned("panique-anxiete", "fear-0.8", 8, seed=seed).tonic == tonic
    assert planned("panique-anxiete", "fear-0.8", 8, seed=seed + 600).tonic == tonic


@pytest.mark.parametrize(
    ("style", "timbre"), [("piano", "felt"), ("bells", "handpan"), ("strings", "strings"), ("drones", "drone")]
)
def test_a_style_changes_timbre_and_words_and_nothing_else(style: str, timbre: str) -> None:
    plain, styled = (
        planned("motivation-energie", "joy-0.2", 2),
        planned("motivation-energie", "joy-0.2", 2, style=style),
    )
    assert styled.timbre == timbre
    assert styled.timbre_words[-2:] == ("organic percussion", "shakers")
    same = replace(plain, style=style, timbre=timbre, timbre_words=styled.timbre_words, plan_hash=styled.plan_hash)
    assert styled == same
    assert styled.plan_hash != plain.plan_hash


def test_the_same_input_gives_the_same_plan_and_french_names_mean_the_same() -> None:
    assert planned("panique-anxiete", "fear-0.8", 8) == planned("panique-anxiete", "Peur-0.80", 8)


def test_the_hash_depends_on_every_input_and_on_the_key() -> None:
    plans = [
        planned("panique-anxiete", "fear-0.8", 8),
        planned("panique-anxiete", "fear-0.79", 8),
        planned("panique-anxiete", "fear-0.8", 7),
        planned("panique-anxiete", "fear-0.8"),
        planned("panique-anxiete", "panic-0.8", 8),
        planned("panique-anxiete", None, 8),
        planned("panique-anxiete", None),
        planned("panique-anxiete", "fear-0.8", 8, seed=8),
        planned("stress-overwhelm", "fear-0.8", 8),
        planner.make_plan(planner.PlanRequest("panique-anxiete", 7, emotion.parse("fear-0.8"), 8), key=b"another"),
    ]
    assert len({made.plan_hash for made in plans}) == len(plans)


def test_two_labels_with_the_same_numbers_have_different_hashes() -> None:
    one, other = planned("fatigue-mentale", "numb-0.7", 4), planned("fatigue-mentale", "exhaustion-0.7", 4)
    assert replace(one, plan_hash="") == replace(other, plan_hash="")
    assert one.plan_hash != other.plan_hash


def test_suds_where_arousal_is_clamped_still_changes_the_hash() -> None:
    assert planned("panique-anxiete", "panic-1", 9).plan_hash != planned("panique-anxiete", "panic-1", 10).plan_hash


def test_a_stored_plan_reads_back_equal_and_names_no_emotion() -> None:
    made = planned("panique-anxiete", "fear-0.8", 8)
    stored = made.as_json()
    assert plan.plan_from_json(stored) == made
    assert not {"suds", "label", "emotion", "intensity"} & set(stored)
    assert "fear" not in str(stored)


@pytest.mark.parametrize("suds", [-1, 11, True])
def test_a_suds_outside_0_to_10_is_refused(suds: int) -> None:
    with pytest.raises(SudsError):
        planner.PlanRequest("panique-anxiete", 1, suds=suds)


def test_an_unknown_style_arc_seed_or_preset_is_refused() -> None:
    with pytest.raises(StyleError) as refused:
        planner.PlanRequest("panique-anxiete", 1, style="metal")
    assert refused.value.members["allowed_styles"] == ["piano", "bells", "strings", "drones"]
    with pytest.raises(ArcError):
        planner.PlanRequest("panique-anxiete", 1, arc="steep")  # type: ignore[arg-type]
    for seed in (-1, 2**31):
        with pytest.raises(SeedError):
            planner.PlanRequest("panique-anxiete", seed)
    with pytest.raises(UnknownPresetError):
        planner.make_plan(planner.PlanRequest("nothing", 1), key=KEY)
