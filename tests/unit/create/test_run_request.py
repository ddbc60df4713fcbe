"""The body of `POST /runs`: what is the same request, and what is refused."""

import pytest

from services.create.domain.errors import FieldError, RefusedInputError, UnknownPresetError
from services.create.domain.run_request import FIELDS, read_run_request

BODY = {"presetKey": "panique-anxiete", "emotionState": "fear-0.8", "sudsStart": 8, "seed": 7}


def test_a_preset_alone_is_a_request() -> None:
    request = read_run_request({"presetKey": "universel-reset"})
    assert (request.emotion, request.suds, request.seed, request.style) == (None, None, None, None)
    assert (request.locale, request.arc, request.strategy) == ("fr", "auto", "ahead")


def test_null_is_as_good_as_absent() -> None:
    nulls = dict.fromkeys(FIELDS)
    assert read_run_request(nulls | BODY) == read_run_request(BODY)


@pytest.mark.parametrize(
    "same",
    [{"emotionState": "Peur-0.80"}, {"arc": "auto"}, {"strategy": "ahead"}, {"style": None}, {"narration": False}],
    ids=str,
)
def test_two_ways_to_ask_for_the_same_are_one_request(same: dict[str, object]) -> None:
    assert read_run_request(BODY | same).canonical() == read_run_request(BODY).canonical()


@pytest.mark.parametrize(
    "other",
    [
        *({"presetKey": "universel-reset"}, {"emotionState": "fear-0.7"}, {"sudsStart": 7}, {"sudsStart": None}),
        *({"seed": 8}, {"seed": None}, {"style": "piano"}, {"arc": "gentle"}, {"strategy": "all"}),
        *({"locale": "en"}, {"locale": "fr-BE"}, {"narration": True}),
    ],
    ids=str,
)
def test_a_request_for_anything_else_is_another(other: dict[str, object]) -> None:
    assert read_run_request(BODY | other).canonical() != read_run_request(BODY).canonical()


def test_an_emotion_has_one_spelling() -> None:
    assert read_run_request(BODY | {"emotionState": " PEUR-1.00"}).emotion_state == "fear-1"
    assert read_run_request(BODY | {"emotionState": None}).emotion_state is None


def test_an_unknown_preset_is_refused_with_the_list() -> None:
    with pytest.raises(UnknownPresetError) as refused:
        read_run_request({"presetKey": "01-panique-anxiete"})
    allowed = refused.value.members["allowed_presets"]
    assert isinstance(allowed, list)
    assert len(allowed) == 20


def test_an_unknown_name_is_refused_without_being_repeated() -> None:
    with pytest.raises(FieldError) as refused:
        read_run_request(BODY | {"my secret": 1})
    assert "secret" not in str(refused.value) + str(refused.value.members)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [{}, [], [1], {"a": 1}, True, 1.5, -1, "", "x" * 10_000], ids=repr)
def test_any_field_refuses_any_other_type(field: str, value: object) -> None:
    if field == "narration" and value is True:
        value = "true"  # for it alone, true is a value
    with pytest.raises(RefusedInputError) as refused:
        read_run_request(BODY | {field: value})
    assert refused.value.field == field
