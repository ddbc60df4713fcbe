"""`emotionState`: the grammar row by row, the labels, and that a refusal never repeats what was sent."""

import pytest

from services.create.domain import emotion
from services.create.domain.errors import (
    EmotionError,
    EmotionFormatError,
    EmotionIntensityError,
    EmotionLabelError,
)


@pytest.mark.parametrize(
    ("given", "label", "intensity"),
    [
        ("fear-0.8", "fear", 0.8),
        ("Peur-0.8", "fear", 0.8),
        ("anxiété-0.5", "anxiety", 0.5),
        ("manque_elan-1", "listless", 1.0),
        ("  FEAR-0.80\n", "fear", 0.8),
        ("tiredness-0.3", "fatigue", 0.3),
        ("gêne-0", "embarrassment", 0.0),
        ("fear-1.00", "fear", 1.0),
        ("ｆｅａｒ-0.5", "fear", 0.5),
    ],
)
def test_an_accepted_state_gives_label_and_intensity(given: str, label: str, intensity: float) -> None:
    parsed = emotion.parse(given)
    assert (parsed.label.label, parsed.intensity, parsed.source) == (label, intensity, "listener")


@pytest.mark.parametrize(
    ("given", "error", "code"),
    [
        ("joyful-0.5", EmotionLabelError, "emotion_unknown_label"),
        ("joyful-5", EmotionLabelError, "emotion_unknown_label"),
        ("fear-1.2", EmotionIntensityError, "emotion_intensity_out_of_range"),
        ("fear-1.8", EmotionIntensityError, "emotion_intensity_out_of_range"),
        ("fear--0.2", EmotionIntensityError, "emotion_intensity_out_of_range"),
        ("fear-1.01", EmotionIntensityError, "emotion_intensity_out_of_range"),
        ("fear-99999999999999999999", EmotionIntensityError, "emotion_intensity_out_of_range"),
        ("fear", EmotionFormatError, "emotion_bad_format"),
        ("fear-0,8", EmotionFormatError, "emotion_bad_format"),
        ("fear - 0.8", EmotionFormatError, "emotion_bad_format"),
        ("fear-.8", EmotionFormatError, "emotion_bad_format"),
        ("fear-0.801", EmotionFormatError, "emotion_bad_format"),
        ("fear-0.", EmotionFormatError, "emotion_bad_format"),
        ("fear-00.5", EmotionFormatError, "emotion_bad_format"),
        ("fear-01", EmotionFormatError, "emotion_bad_format"),
        ("fear--0", EmotionFormatError, "emotion_bad_format"),
        ("fear-+0.5", EmotionFormatError, "emotion_bad_format"),
        ("fear-1e0", EmotionFormatError, "emotion_bad_format"),
        ("fear-٠.٥", EmotionFormatError, "emotion_bad_format"),
        ("-0.5", EmotionFormatError, "emotion_bad_format"),
        ("{}", EmotionFormatError, "emotion_bad_format"),
        ("", EmotionFormatError, "emotion_bad_format"),
        ("fear-0.8 " * 1000, EmotionFormatError, "emotion_bad_format"),
        ({}, EmotionFormatError, "emotion_bad_format"),
        (0.8, EmotionFormatError, "emotion_bad_format"),
        (None, EmotionFormatError, "emotion_bad_format"),
    ],
)
def test_a_refused_state_gives_its_code_the_labels_and_the_pattern(
    given: object, error: type[EmotionError], code: str
) -> None:
    with pytest.raises(error) as refused:
        emotion.parse(given)
    assert refused.value.code == code
    assert refused.value.members["field"] == "emotionState"
    assert refused.value.members["pattern"] == emotion.PATTERN
    allowed = refused.value.members["allowed_labels"]
    assert isinstance(allowed, list)
    assert len(allowed) == 74


def test_a_refusal_never_repeats_the_value() -> None:
    with pytest.raises(EmotionLabelError) as refused:
        emotion.parse("canarylabel-0.77")
    said = f"{refused.value!r} {refused.value.members}"
    assert "canary" not in said
    assert "0.77" not in said


def test_there_are_41_labels_and_74_names_without_a_second_meaning() -> None:
    assert len(emotion.labels()) == 74
    assert len({label.label for label in emotion.labels().values()}) == 41


def test_the_low_labels_are_those_of_the_table() -> None:
    low = {label.label for label in emotion.labels().values() if label.low}
    assert low == {
        "sadness",
        "grief",
        "loneliness",
        "numb",
        "apathy",
        "boredom",
        "fatigue",
        "exhaustion",
        "nostalgia",
        "melancholy",
        "listless",
    }


@pytest.mark.parametrize(
    ("name", "valence", "arousal", "preset"),
    [
        ("fear", -0.65, 0.75, "peur-anticipatoire"),
        ("panique", -0.80, 0.95, "panique-anxiete"),
        ("anger", -0.60, 0.80, "colere-irritabilite"),
        ("vide", -0.40, -0.70, "apathie-demotivation"),
        ("contentment", 0.60, -0.30, "universel-reset"),
        ("neutre", 0.0, 0.0, "universel-reset"),
        ("degout", -0.60, 0.35, "jalousie-envie"),
        ("doubt", -0.45, 0.10, "manque-confiance"),
        ("joie", 0.80, 0.45, "amour-gratitude"),
    ],
)
def test_labels_have_the_values_of_the_table(name: str, valence: float, arousal: float, preset: str) -> None:
    label = emotion.labels()[name]
    assert (label.valence, label.arousal, label.preset) == (valence, arousal, preset)


def test_without_an_emotion_the_preset_speaks_at_intensity_0_6() -> None:
    assumed = emotion.of_preset("panic")
    assert (assumed.label.label, assumed.intensity, assumed.source) == ("panic", 0.6, "preset")
