"""What a generate call may say, by model: each rule of the two generations of the documentation (providers.md §1A)."""

from typing import Any

import pytest

from stack.simulators.suno.rules import OLD_MODELS, V6_MODELS, Order, RefusedError, read_order
from tests.unit.stack.suno_rig import LISTENER, OLD, V6

MODELS = OLD_MODELS + V6_MODELS
IDEA: dict[str, Any] = {"customMode": False, "instrumental": True, "model": "V5", "prompt": "a calm sea"}
IDEA_V6: dict[str, Any] = IDEA | {"model": "V6", "style": "ambient"}


def read(body: dict[str, Any], **changes: object) -> Order:
    said = {key: value for key, value in (body | {"callBackUrl": LISTENER} | changes).items() if value is not ...}
    return read_order(said, models=MODELS)


def accepts(body: dict[str, Any], **changes: object) -> bool:
    return isinstance(read(body, **changes), Order)


def why(body: dict[str, Any], **changes: object) -> tuple[str, str]:
    with pytest.raises(RefusedError) as refused:
        read(body, **changes)
    return refused.value.why, str(refused.value)


@pytest.mark.parametrize("model", OLD_MODELS)
def test_custom_mode_of_an_old_model_needs_style_and_title(model: str) -> None:
    assert read(OLD, model=model).model == model
    assert why(OLD, model=model, style="") == ("invalid", "style cannot be null")
    assert why(OLD, model=model, title="") == ("invalid", "title cannot be null")
    assert why(OLD, model=model, instrumental=False) == ("invalid", "prompt cannot be null")
    assert read(OLD, model=model, instrumental=False, prompt="[Verse] la").lyrics == "[Verse] la"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("customMode", "customMode cannot be null"),
        ("instrumental", "instrumental cannot be null"),
        ("model", "model cannot be null"),
        ("callBackUrl", "Please enter callBackUrl."),
    ],
)
@pytest.mark.parametrize("body", [OLD, V6, IDEA, IDEA_V6])
@pytest.mark.parametrize("value", [None, "", ...])
def test_four_fields_are_always_needed(body: dict[str, Any], name: str, text: str, value: object) -> None:
    assert why(body, **{name: value}) == ("invalid", text)


@pytest.mark.parametrize("model", ["V3_5", "V7", "v5", "chirp-v4"])
def test_a_model_that_is_gone_or_was_never_there_is_refused(model: str) -> None:
    assert why(OLD, model=model)[0] == "invalid"


@pytest.mark.parametrize(
    ("model", "prompt", "style", "title"),
    [
        ("V4", 3000, 200, 80),
        ("V4_5ALL", 5000, 1000, 80),
        ("V4_5", 5000, 1000, 100),
        ("V4_5PLUS", 5000, 1000, 100),
        ("V5", 5000, 1000, 100),
        ("V5_5", 5000, 1000, 100),
        ("V6", 5000, 1000, 80),
        ("V6_WILD", 5000, 1000, 80),
        ("V6_MINI", 5000, 1000, 80),
    ],
)
def test_each_model_has_its_limits(model: str, prompt: int, style: int, title: int) -> None:
    for name, limit in (("prompt", prompt), ("style", style), ("title", title)):
        assert accepts(OLD, model=model, **{name: "x" * limit})
        assert why(OLD, model=model, **{name: "x" * (limit + 1)})[0] == "too_long"


@pytest.mark.parametrize(("body", "limit"), [(IDEA, 500), (IDEA_V6, 3000)])
def test_an_idea_has_a_limit_of_its_own(body: dict[str, Any], limit: int) -> None:
    assert accepts(body, prompt="x" * limit)
    assert why(body, prompt="x" * (limit + 1))[0] == "too_long"


def test_an_old_idea_needs_a_prompt_and_nothing_else() -> None:
    assert read(IDEA, style="", title="").seconds is None
    assert why(IDEA, prompt=None) == ("invalid", "prompt cannot be null")


@pytest.mark.parametrize("field", ["style", "lyrics", "negativeTags"])
def test_custom_mode_of_v6_needs_one_of_three(field: str) -> None:
    bare = V6 | {"style": ...}
    assert why(bare, title="Dawn")[0] == "invalid"
    assert accepts(bare, **{field: "something"})
    assert why(bare, title="Dawn", prompt="[Verse] la")[0] == "invalid"


def test_the_title_of_v6_is_optional_and_lyrics_win_over_the_prompt() -> None:
    assert read(V6, title=...).title == ""
    assert read(V6, instrumental=False, prompt="one", lyrics="two").lyrics == "two"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "Dawn"),
        ("negativeTags", "drums"),
        ("duration", 60),
        ("variety", 2),
        ("vocalGender", "f"),
        ("styleWeight", 0.5),
        ("weirdnessConstraint", 0.5),
        ("audioWeight", 0.5),
    ],
)
def test_what_is_for_custom_mode_only_is_refused_elsewhere_by_v6(field: str, value: object) -> None:
    assert accepts(V6, **{field: value}, instrumental=False)
    assert why(IDEA_V6, **{field: value}) == ("invalid", f"{field} is only supported in custom mode")


def test_a_prompt_alone_is_refused_by_v6_unless_the_quickstart_is_right() -> None:
    alone = IDEA_V6 | {"style": ...}
    assert why(alone)[0] == "invalid"
    said = {"callBackUrl": LISTENER} | {key: value for key, value in alone.items() if value is not ...}
    assert read_order(said, models=MODELS, prompt_alone=True).seconds == 20
    assert accepts(alone, lyrics="la")
    assert accepts(alone, imageUrls=["https://a/b.png"])


@pytest.mark.parametrize(("field", "count"), [("imageUrls", 6), ("videoUrls", 2), ("audioUrls", 11)])
def test_attachments_are_few_and_never_in_custom_mode(field: str, count: int) -> None:
    assert why(IDEA_V6, **{field: ["https://a/b"] * count})[1] == "too many attachments"
    assert why(V6, **{field: ["https://a/b"]})[0] == "invalid"
    assert why(IDEA_V6, **{field: "https://a/b"})[0] == "invalid"
    assert why(IDEA_V6, imageUrls=["a"] * 5, videoUrls=["b"], audioUrls=["c"] * 5)[1] == "too many attachments"


@pytest.mark.parametrize("model", MODELS)
def test_only_the_newest_models_take_a_duration(model: str) -> None:
    if model in ("V5_5", *V6_MODELS):
        assert read(OLD, model=model, duration=10).seconds == 10
        assert read(OLD, model=model, duration=360).seconds == 360
    else:
        assert why(OLD, model=model, duration=60) == ("invalid", "duration is not supported here")


def test_a_length_that_is_not_told_is_twenty_seconds_for_v6_and_the_models_own_before() -> None:
    assert read(V6).seconds == 20
    assert read(OLD).seconds is None


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("duration", [9, 361, 60.5, "60", True]),
        ("variety", [-1, 5, 1.5, "2", True]),
        ("styleWeight", [-0.1, 1.01, 0.123, "0.5", True]),
        ("audioWeight", [0.5]),  # not with instrumental
        ("vocalGender", ["female", 1]),
        ("style", [7, ["pads"]]),
        ("customMode", ["true", 1]),
        ("callBackUrl", [7]),
        ("personaModel", ["other"]),
    ],
)
def test_a_value_of_another_kind_or_out_of_bounds_is_refused(field: str, values: list[object]) -> None:
    assert [why(V6, **{field: value})[0] for value in values] == ["invalid"] * len(values)


def test_a_voice_persona_is_for_the_newer_models() -> None:
    assert accepts(OLD, model="V5", personaId="p", personaModel="voice_persona")
    assert accepts(OLD, model="V4", personaId="p", personaModel="style_persona")
    assert why(OLD, model="V4", personaId="p", personaModel="voice_persona")[0] == "invalid"


def test_what_is_unknown_is_ignored_and_any_address_will_do() -> None:
    assert read(OLD, x_parcours={"a": 1}, callBackUrl="no address").segment == ""
    assert read(OLD, callBackUrl="https://a/b?token=t&segment=s%201").segment == "s 1"
    assert read(OLD, callBackUrl="http://[broken?segment=1").segment == ""
