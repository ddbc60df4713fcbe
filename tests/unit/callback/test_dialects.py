"""What a webhook's body means, shown on the recorded examples of `contracts/`."""

import copy
import math
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.callback.domain.dialects import understand
from services.callback.domain.news import News, Stage, Take, UnknownDialectError

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / "webhooks"
TASK = "9f0c5a1e7b3d4c2f8a6e1d0b5c4f3a2e"
FIRST_SONG = "https://musicfile.api.box/6b1d0f6e-5a53-4f0c-9d62-3f6f0d1a7b21"
SECOND_SONG = "https://musicfile.api.box/7c2e1a7f-6b64-4a1d-8e73-4a7a1e2b8c32"


def example(name: str) -> dict[str, Any]:
    return orjson.loads((EXAMPLES / f"{name}.json").read_bytes())  # type: ignore[no-any-return]


def parsed(body: object, *, simple: bool = True) -> News:
    return understand(orjson.dumps(body), simple_allowed=simple)


def changed(name: str, **data: object) -> dict[str, Any]:
    body = copy.deepcopy(example(name))
    body["data"].update(data)
    return body


@pytest.mark.parametrize("name", ["text_empty", "text_items"])
def test_a_text_proves_that_the_task_was_accepted_and_no_more(name: str) -> None:
    assert parsed(example(f"suno/{name}")) == News("suno", Stage.TEXT, TASK)


@pytest.mark.parametrize("name", ["first", "first_created_text"])
def test_a_first_gives_the_stream_of_the_first_song(name: str) -> None:
    news = parsed(example(f"suno/{name}"))
    assert (news.stage, news.task_id, news.preview_url, news.takes) == (Stage.FIRST, TASK, FIRST_SONG, ())


@pytest.mark.parametrize(
    ("name", "created"), [("complete", 1760000000000), ("complete_created_text", "2026-10-09 08:53:20")]
)
def test_a_complete_gives_both_songs_whatever_form_their_time_has(name: str, created: object) -> None:
    news = parsed(example(f"suno/{name}"))
    assert news.stage is Stage.COMPLETE
    assert news.takes == (Take(f"{FIRST_SONG}.mp3", 182.4), Take(f"{SECOND_SONG}.mp3", 176.96))
    assert [song["created"] for song in news.content] == [created, created]
    assert news.preview_url is None


@pytest.mark.parametrize(
    ("named", "kept"),
    [([4000, 31500], [4000, 31500]), ([True, -1, "4", 4.5, 9e9, 7], [7]), ("4000", None), ([], None), (None, None)],
)
def test_composers_engine_and_quiet_points_are_kept_and_nothing_else_under_their_name(
    named: object, kept: list[int] | None
) -> None:
    body = example("suno/complete")
    more = {"engine": "pad3", "engine_version": "1.0.0", "measures": {"quiet_points_ms": named, "lufs": -16.0}}
    body["data"]["data"][0] |= more
    first, second = parsed(body).content
    assert (first["engine"], first["engine_version"], first.get("quiet_points_ms")) == ("pad3", "1.0.0", kept)
    assert not {"engine", "engine_version", "quiet_points_ms", "measures", "lufs"} & second.keys()


@pytest.mark.parametrize(
    ("name", "code"), [("error_null", "531"), ("error_list", "501"), ("failed", "500"), ("error_text", "408")]
)
def test_an_error_keeps_the_providers_code_with_or_without_data(name: str, code: str) -> None:
    news = parsed(example(f"suno/{name}"))
    assert (news.stage, news.task_id, news.error_code) == (Stage.ERROR, TASK, code)
    assert news.error_message


def test_an_error_may_lack_its_data_altogether() -> None:
    news = parsed({"code": 501, "msg": "Generation failed.", "data": None})
    assert (news.stage, news.task_id, news.error_code) == (Stage.ERROR, None, "501")


def test_an_error_type_with_a_good_code_is_an_error_all_the_same() -> None:
    assert parsed({"code": 200, "msg": "", "data": {"callbackType": "error"}}).error_code == "provider_error"


def test_finished_songs_count_even_with_a_bad_code() -> None:
    assert parsed(example("suno/complete") | {"code": 500}).stage is Stage.COMPLETE


def test_a_complete_without_any_file_is_a_failure() -> None:
    assert parsed(changed("suno/complete", data=[])).error_code == "no_audio"


def test_the_second_song_without_address_is_no_take() -> None:
    songs = example("suno/first")["data"]["data"]
    assert parsed(changed("suno/complete", data=songs)).takes == (Take(f"{FIRST_SONG}.mp3", 182.4),)


def test_a_first_without_any_address_proves_acceptance_alone() -> None:
    assert parsed(changed("suno/first", data=[{"id": "a", "audio_url": ""}])).stage is Stage.TEXT


def test_a_first_falls_back_to_the_file_when_no_stream_is_named() -> None:
    songs = [{"audio_url": "https://cdn1.suno.ai/a.mp3"}]
    assert parsed(changed("suno/first", data=songs)).preview_url == "https://cdn1.suno.ai/a.mp3"


@pytest.mark.parametrize("url", [None, ""])
def test_what_names_no_address_is_no_take(url: object) -> None:
    assert parsed(changed("suno/complete", data=[{"audio_url": url}])).error_code == "no_audio"


@pytest.mark.parametrize("duration", [0, -1, 1e9, True, "182", None])
def test_an_impossible_duration_is_unknown(duration: object) -> None:
    song = {"audio_url": "https://cdn1.suno.ai/a.mp3", "duration": duration}
    assert parsed(changed("suno/complete", data=[song])).takes[0].duration is None


@pytest.mark.parametrize("task_id", ["", "a" * 129, "a b", "a\0b", 5, None, ["x"]])
def test_an_impossible_task_id_is_not_adopted(task_id: object) -> None:
    assert parsed(changed("suno/first", task_id=task_id)).task_id is None


def test_texts_lose_what_the_database_could_not_keep() -> None:
    body = example("suno/error_null") | {"msg": "a\0b\n" + "c" * 500}
    assert parsed(body).error_message == ("a b " + "c" * 500)[:200]


def test_the_simple_dialect_names_its_files_flat() -> None:
    assert parsed(example("simple/first")).preview_url == "https://musicfile.api.box/stream/a"
    assert parsed(example("simple/complete")).takes == (Take("https://musicfile.api.box/a.mp3", 182.0),)
    assert parsed(example("simple/error")).error_code == "provider_error"


@pytest.mark.parametrize("name", ["first", "complete", "error"])
def test_the_simple_dialect_is_not_understood_where_it_is_off(name: str) -> None:
    with pytest.raises(UnknownDialectError):
        parsed(example(f"simple/{name}"), simple=False)


@pytest.mark.parametrize(
    "body",
    [
        *(7, None, [], "text", {}, {"code": 200}, {"data": {}}, {"code": 200, "data": None}),
        *({"code": 200, "data": {"callbackType": "other"}}, {"code": 200, "data": {"callbackType": 7}}),
        *({"code": True, "data": {"callbackType": "text"}}, {"code": "1e3", "data": {"callbackType": "text"}}),
        *(
            {"code": -1, "data": None},
            {"code": 200, "data": []},
            {"code": 200, "data": {"callbackType": "first", "data": {}}},
        ),
        *(
            {"stage": "first"},
            {"stage": "complete", "downloadUrl": ""},
            {"stage": "other"},
            {"stage": 7},
            {"stage": []},
        ),
    ],
)
def test_a_body_in_no_dialect_is_refused(body: object) -> None:
    with pytest.raises(UnknownDialectError):
        parsed(body)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"NaN", b'{"code": NaN, "data": null}', b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(UnknownDialectError):
        understand(raw, simple_allowed=True)


def test_an_infinite_duration_is_refused_or_unknown() -> None:
    raw = orjson.dumps(changed("suno/complete")).replace(b"182.4", b"1e999")
    try:
        durations = [take.duration for take in understand(raw, simple_allowed=False).takes]
    except UnknownDialectError:
        return
    assert all(duration is None or math.isfinite(duration) for duration in durations)
