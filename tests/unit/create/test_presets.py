"""The 20 presets against a literal copy of the domain's tables, and the rules that the loader enforces."""

import pytest

from services.create.domain import presets
from services.create.domain.emotion import labels
from services.create.domain.notices import all_notices
from services.create.domain.texts import templates

# key: seconds of each segment, minutes, arc, default label, target V, target A, BPM (min, max), floor→ceiling, family
TABLE = {
    "universel-reset": ("180/180/240/300/240", 19, "U", "neutral", 0.35, -0.10, (68, 58, 88), "aeo mix", "circle"),
    "panique-anxiete": ("120/120/240/240/240/240", 20, "iso", "panic", 0.40, -0.55, (64, 60, 90), "aeo mix", "circle"),
    "stress-overwhelm": ("120/240/240/180/300", 18, "iso", "stress", 0.35, -0.50, (70, 62, 88), "aeo mix", "descent"),
    "rumination-culpabilite": (
        "180/240/240/240/240",
        19,
        "iso",
        "rumination",
        0.35,
        -0.35,
        (62, 56, 84),
        "aeo dor",
        "circle",
    ),
    "tristesse-deuil": (
        "120/180/300/300/300/120",
        22,
        "iso",
        "sadness",
        0.40,
        -0.20,
        (68, 58, 76),
        "dor lyd",
        "radiant",
    ),
    "apathie-demotivation": ("120/180/300/300/180", 18, "iso", "apathy", 0.50, 0.25, (100, 76, 104), "dor ion", "pop"),
    "colere-irritabilite": (
        "120/180/300/240/240/240",
        22,
        "U",
        "anger",
        0.35,
        0.00,
        (72, 66, 88),
        "aeo dor",
        "circle",
    ),
    "peur-anticipatoire": (
        "180/180/300/120/240/300",
        22,
        "iso",
        "fear",
        0.30,
        -0.40,
        (62, 58, 88),
        "aeo dor",
        "circle",
    ),
    "honte-anxiete-sociale": (
        "180/240/240/240/180",
        18,
        "iso",
        "shame",
        0.45,
        -0.35,
        (72, 64, 84),
        "dor ion",
        "plagal",
    ),
    "jalousie-envie": ("120/240/240/240/240", 18, "iso", "envy", 0.40, -0.25, (76, 66, 88), "dor mix", "plagal"),
    "solitude-isolement": (
        "120/300/240/240/240/180",
        22,
        "iso",
        "loneliness",
        0.50,
        -0.15,
        (78, 66, 84),
        "dor ion",
        "fifties",
    ),
    "fatigue-mentale": ("180/270/330/300/300", 23, "iso", "fatigue", 0.40, -0.55, (62, 56, 66), "dor mix", "drone"),
    "hypersensibilite": (
        "180/240/300/180/180",
        18,
        "iso",
        "overstimulation",
        0.35,
        -0.60,
        (60, 56, 72),
        "aeo dor",
        "drone",
    ),
    "douleur-physique": ("120/240/240/300/240/180", 22, "iso", "pain", 0.35, -0.55, (62, 58, 72), "aeo mix", "drone"),
    "manque-confiance": ("180/240/240/300/180/180", 22, "iso", "doubt", 0.50, 0.10, (90, 76, 92), "dor ion", "pop"),
    "perfectionnisme": (
        "120/240/240/210/150/120",
        18,
        "iso",
        "pressure",
        0.40,
        -0.35,
        (76, 66, 88),
        "dor mix",
        "plagal",
    ),
    "nostalgie-melancolie": (
        "180/240/300/240/240/120",
        22,
        "iso",
        "nostalgia",
        0.45,
        -0.25,
        (70, 62, 76),
        "dor ion",
        "circle",
    ),
    "motivation-energie": ("180/180/300/240/180", 18, "iso", "listless", 0.55, 0.40, (108, 86, 110), "dor ion", "pop"),
    "concentration-flow": (
        "120/240/330/270/120",
        18,
        "iso",
        "distraction",
        0.30,
        0.00,
        (90, 80, 95),
        "dor mix",
        "descent",
    ),
    "amour-gratitude": (
        "120/240/330/270/240/120",
        22,
        "iso",
        "gratitude",
        0.60,
        -0.05,
        (78, 70, 82),
        "mix lyd",
        "radiant",
    ),
}
# key: groove, style weight, weirdness, timbre, notices, touch points
SECOND_TABLE = {
    "universel-reset": (0, 0.7, 0.2, "felt", "BREATH", "P6 Yintang"),
    "panique-anxiete": (0, 0.8, 0.1, "handpan", "BREATH", "P6 HT7"),
    "stress-overwhelm": (0, 0.75, 0.15, "epiano", "BREATH", "LI11 Yintang"),
    "rumination-culpabilite": (0, 0.75, 0.15, "pluck", "", "Yintang"),
    "tristesse-deuil": (0, 0.75, 0.25, "strings", "TRAUMA PREG_SP6", "P6 SP6"),
    "apathie-demotivation": (0.25, 0.7, 0.3, "pluck", "MOVE", "ST36 LI11"),
    "colere-irritabilite": (0.25, 0.75, 0.15, "pluck", "PREG_LI4", "LV3 LI4"),
    "peur-anticipatoire": (0, 0.75, 0.15, "handpan", "TRAUMA", "P6 KD1"),
    "honte-anxiete-sociale": (0.15, 0.75, 0.15, "epiano", "", "HT7 CV17"),
    "jalousie-envie": (0.25, 0.75, 0.15, "pluck", "", "LV3"),
    "solitude-isolement": (0, 0.75, 0.15, "choir", "", "CV17"),
    "fatigue-mentale": (0, 0.75, 0.15, "felt", "PREG_SP6 SLEEP", "SP6 Yintang"),
    "hypersensibilite": (0, 0.75, 0.15, "drone", "BREATH", "KD1 HT7"),
    "douleur-physique": (0, 0.75, 0.15, "drone", "PREG_LI4 PAIN", "LI4 ST36"),
    "manque-confiance": (0.25, 0.75, 0.15, "pluck", "TRAUMA", "CV6 ST36"),
    "perfectionnisme": (0.15, 0.75, 0.15, "epiano", "", "LV3 P6"),
    "nostalgie-melancolie": (0, 0.75, 0.15, "strings", "", "HT7 Yintang"),
    "motivation-energie": (0.5, 0.75, 0.15, "pluck", "MOVE", "ST36 LI11"),
    "concentration-flow": (0.35, 0.75, 0.15, "epiano", "", "Yintang KD1"),
    "amour-gratitude": (0, 0.75, 0.15, "choir", "", "CV17"),
}
# Semitones above the tonic of the seven degrees.
SCALES = {
    "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "ionian": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
}
ALL = presets.catalogue().presets


def test_the_presets_are_those_of_the_table_in_its_order() -> None:
    assert [preset.key for preset in ALL] == list(TABLE) == list(SECOND_TABLE)
    assert [preset.order for preset in ALL] == list(range(20))


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.key)
def test_a_preset_equals_its_rows(preset: presets.Preset) -> None:
    seconds, minutes, arc, label, valence, arousal, bpm, modes, family = TABLE[preset.key]
    assert "/".join(str(segment.seconds) for segment in preset.segments) == seconds
    assert preset.total_seconds == minutes * 60
    assert (preset.arc, preset.default_label, preset.family) == (arc, label, family)
    assert (preset.target.valence, preset.target.arousal) == (valence, arousal)
    assert (preset.tempo.base_bpm, preset.tempo.min_bpm, preset.tempo.max_bpm) == bpm
    assert f"{preset.mode_floor[:3]} {preset.mode_ceiling[:3]}" == modes
    groove, weight, weirdness, timbre, notices, points = SECOND_TABLE[preset.key]
    assert (preset.groove, preset.style_weight, preset.weirdness, preset.timbre) == (groove, weight, weirdness, timbre)
    assert " ".join(preset.notices) == notices
    assert " ".join(preset.touch_points) == points


def test_sums_are_eight_of_18_two_of_19_one_of_20_eight_of_22_one_of_23_minutes() -> None:
    minutes = [preset.total_seconds // 60 for preset in ALL]
    assert {each: minutes.count(each) for each in set(minutes)} == {18: 8, 19: 2, 20: 1, 22: 8, 23: 1}


def test_only_the_three_quiet_presets_are_damped() -> None:
    damped = {
        p.key: (p.density_modifier, p.brightness_cap)
        for p in ALL
        if (p.density_modifier, p.brightness_cap) != (1, None)
    }
    assert damped == {
        "fatigue-mentale": (0.8, 0.35),
        "hypersensibilite": (0.7, 0.30),
        "douleur-physique": (0.8, 0.32),
    }


def test_metres_are_compound_where_the_table_says_so() -> None:
    assert [s.metre for s in presets.preset("colere-irritabilite").segments] == ["12/8", "12/8", *["4/4"] * 4]
    swaying = {p.key for p in ALL if {s.metre for s in p.segments} == {"6/8"}}
    assert swaying == {"universel-reset", "panique-anxiete", "rumination-culpabilite", "peur-anticipatoire"}


def test_every_default_label_suggests_some_preset_and_every_suggestion_exists() -> None:
    assert {preset.default_label for preset in ALL} <= set(labels())
    assert {label.preset for label in labels().values()} <= set(TABLE)


def test_notices_of_presets_are_known_and_pregnancy_notices_follow_the_points() -> None:
    known = {notice.code for notice in all_notices().notices}
    ruled_out = all_notices().contraindicated_points["pregnancy"]
    assert ruled_out == ("SP6", "LI4")
    for preset in ALL:
        assert set(preset.notices) <= known
        for point in ruled_out:
            assert (f"PREG_{point}" in preset.notices) == (point in preset.touch_points)


@pytest.mark.parametrize("family", list(presets.families()))
def test_no_family_has_a_diminished_or_augmented_chord(family: str) -> None:
    for mode, degrees in presets.families()[family].items():
        scale = SCALES[mode]
        for degree in degrees:
            root, third, fifth = (scale[(degree - 1 + step) % 7] for step in (0, 2, 4))
            assert ((third - root) % 12, (fifth - root) % 12) in {(3, 7), (4, 7)}, (family, mode, degree)


def test_every_family_knows_every_mode() -> None:
    assert len(presets.families()) == 7
    assert all(set(modes) == set(presets.LADDER) for modes in presets.families().values())


def test_every_technique_has_three_variants_in_each_language_and_nothing_else_has_any() -> None:
    used = {key for preset in ALL for segment in preset.segments for key in segment.techniques}
    assert used == presets.technique_keys()
    substitutions = presets.techniques().substitutions
    assert len(substitutions) == 7
    assert set(substitutions) | set(substitutions.values()) <= presets.technique_keys()
    for locale in ("fr", "en"):
        words = templates(locale).techniques
        assert set(words) == presets.technique_keys()
        assert all(len(set(technique.variants)) >= 3 for technique in words.values())
