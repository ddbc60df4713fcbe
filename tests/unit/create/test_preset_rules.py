"""How presets are found by key, and the rules that the loader enforces."""

from dataclasses import replace

import pytest

from services.create.domain import presets
from services.create.domain.errors import UnknownPresetError

ALL = presets.catalogue().presets


def test_an_unknown_preset_is_refused_with_the_list() -> None:
    with pytest.raises(UnknownPresetError) as refused:
        presets.preset("secret-wish")
    assert refused.value.members["allowed_presets"] == [preset.key for preset in ALL]
    assert "secret-wish" not in f"{refused.value} {refused.value.members}"


def test_a_prefixed_key_is_unknown_to_everybody_else() -> None:
    with pytest.raises(UnknownPresetError):
        presets.preset("00-universel-reset")


def _broken(first: presets.Preset) -> presets.Catalogue:
    return replace(presets.catalogue(), presets=(first, *ALL[1:]))


FIRST = ALL[0]
SEGMENT = FIRST.segments[0]


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (replace(FIRST, key="00-universel-reset"), "key without numeric prefix"),
        (replace(FIRST, segments=FIRST.segments[:4]), "5 or 6 segments"),
        (replace(FIRST, segments=(replace(SEGMENT, seconds=345), *FIRST.segments[1:])), "segments of 120–340 s"),
        (replace(FIRST, segments=(replace(SEGMENT, seconds=115), *FIRST.segments[1:])), "1080–1440 s in all"),
        (replace(FIRST, mode_floor="lydian"), "mode floor at most its ceiling"),
        (replace(FIRST, segments=(replace(SEGMENT, techniques=("hum",)), *FIRST.segments[1:])), "known techniques"),
        (replace(FIRST, family="blues"), "known family"),
        (replace(FIRST, tempo=presets.TempoLine(50, 58, 88)), "tempo inside its limits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_loader_names_the_broken_rule(broken: presets.Preset, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        presets.enforce_rules(_broken(broken))


def test_the_loader_refuses_a_missing_or_doubled_preset() -> None:
    with pytest.raises(ValueError, match="expected 20"):
        presets.enforce_rules(replace(presets.catalogue(), presets=ALL[1:]))
    with pytest.raises(ValueError, match="expected 20"):
        presets.enforce_rules(_broken(ALL[1]))
