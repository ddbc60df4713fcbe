"""Which notices a run shows."""

from services.create.domain.notices import all_notices, notices_for
from services.create.domain.presets import catalogue, preset


def codes(key: str, *, touch_points: bool = False) -> tuple[list[str], list[str]]:
    shown = notices_for(preset(key), "fr", touch_points=touch_points)
    return [n.code for n in shown.notices], [n.code for n in shown.contraindications]


def test_the_general_ones_are_shown_with_every_preset_in_both_languages() -> None:
    for each in catalogue().presets:
        for locale in ("fr", "en"):
            shown = notices_for(each, locale)
            assert [n.code for n in shown.notices][:2] == ["notice.not_medical", "DRIVE"]
            assert [n.code for n in shown.contraindications] == ["EPI", "HALL", "ACUTE"]
            assert all(n.text for n in (*shown.notices, *shown.contraindications))


def test_a_preset_adds_its_own() -> None:
    assert codes("panique-anxiete")[0] == ["notice.not_medical", "DRIVE", "BREATH"]


def test_pregnancy_is_named_only_where_touch_points_are_on() -> None:
    assert codes("fatigue-mentale") == (["notice.not_medical", "DRIVE", "SLEEP"], ["EPI", "HALL", "ACUTE"])
    assert codes("fatigue-mentale", touch_points=True)[1] == ["EPI", "HALL", "ACUTE", "PREG_SP6"]
    assert codes("colere-irritabilite", touch_points=True)[1] == ["EPI", "HALL", "ACUTE", "PREG_LI4"]


def test_the_fixed_notice_is_word_for_word_that_of_the_domain() -> None:
    fixed = next(n for n in all_notices().notices if n.code == "notice.not_medical")
    assert fixed.text["fr"].replace("’", "'") == (
        "Parcours est un temps d'écoute et de bien-être. Ce n'est pas un dispositif médical et cela ne remplace pas "
        "un avis ou des soins médicaux."
    )
    assert fixed.text["en"] == (
        "Parcours is a listening and well-being moment. It is not a medical device and does not replace "
        "medical advice or care."
    )
