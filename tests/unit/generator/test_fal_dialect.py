"""Claims about fal's dialect: what is sent, every row of its table, and what a finished request says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from services.generator.clients.dialect import Access, Call, Reply, Task
from services.generator.clients.fal import Fal, read_result, refusal_code
from services.generator.domain.answers import Accepted, Finding, Refused
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import load_provider
from services.generator.domain.request import SegmentBrief
from services.generator.domain.verdicts import Verdict, verdict_table

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / "webhooks" / "fal"
PROVIDER = load_provider("fal", Clockwork(), 1.0)
SEGMENT, TOKEN = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"), UUID("11111111-2222-4333-8444-555555555555")
REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
HOME = f"https://queue.fal.run/fal-ai/elevenlabs/requests/{REQUEST}"
PLAN = {
    "file_seconds": 245,
    "style_clauses": ["instrumental ambient, no vocals", "72 BPM steady", "D dorian"],
    "length_clause": "about 4 minutes",
    "negative_tags": ["drums", "vocals"],
    "style_weight": 0.6,
    "weirdness": 0.2,
}
FAL = Fal()
Json = dict[str, Any]


def access(model: str = "fal-ai/elevenlabs/music", base: str = "https://queue.fal.run") -> Access:
    return Access(
        provider=PROVIDER,
        base_url=base,
        key="id:secret",
        model=model,
        callback_base="https://parcours.fr/callback",
        keys_url="https://rest.fal.ai/.well-known/jwks.json",
    )


def brief(**changes: Any) -> SegmentBrief:
    return SegmentBrief(SEGMENT, "A place", 0, 6, PLAN | changes)


def submitted(model: str = "fal-ai/elevenlabs/music", **changes: Any) -> tuple[Call, Json]:
    call = FAL.submission(access(model), brief(**changes), TOKEN)
    assert call.content is not None
    return call, json.loads(call.content)


def example(name: str) -> Json:
    loaded: Json = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return loaded


# --- the submission ---


def test_the_input_is_the_whole_body_and_the_key_is_no_bearer() -> None:
    call, body = submitted()
    assert body == {
        "prompt": "instrumental ambient, no vocals, without drums, vocals, 72 BPM steady, D dorian",
        "music_length_ms": 245_000,
        "force_instrumental": True,
        "output_format": "mp3_44100_128",
    }
    assert call.headers["authorization"] == "Key id:secret"
    assert FAL.price(access(), PLAN) == pytest.approx(3.0)  # five minutes begun


def test_the_webhook_is_a_parameter_that_survives_its_own_ampersand() -> None:
    parts = urlsplit(submitted()[0].url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://queue.fal.run/fal-ai/elevenlabs/music"
    webhook = parse_qs(parts.query)["fal_webhook"][0]
    assert webhook == f"https://parcours.fr/callback?segment={SEGMENT}&token={TOKEN}"


@pytest.mark.parametrize(("asked", "sent"), [(1, 3_000), (3, 3_000), (600, 600_000), (4_000, 600_000)])
def test_no_length_out_of_range_ever_leaves(asked: int, sent: int) -> None:
    assert submitted(file_seconds=asked)[1]["music_length_ms"] == sent


def test_no_prompt_too_long_ever_leaves() -> None:
    assert len(submitted(style_clauses=["x" * 5_000])[1]["prompt"]) == 2_000
    assert len(submitted(style_clauses=["word " * 20] * 90)[1]["prompt"]) <= 2_000


def test_an_unknown_model_is_never_asked() -> None:
    with pytest.raises(KeyError):
        submitted("fal-ai/unheard-of")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("fal-ai/stable-audio-25/text-to-audio", {"seconds_total": 190}),
        ("fal-ai/lyria2", {"negative_prompt": "drums, vocals"}),
        ("fal-ai/ace-step/prompt-to-audio", {"instrumental": True, "duration": 240}),
        ("sonauto/v2/text-to-music", {"lyrics_prompt": ""}),
    ],
)
def test_each_model_has_its_own_fields(model: str, expected: Json) -> None:
    body = submitted(model)[1]
    assert expected.items() <= body.items()
    assert body["prompt"].startswith("instrumental ambient")


# --- what the submission is answered ---


def answer(status: int, body: object, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FAL.read_submission(access(), Reply(status, named, body))


def test_the_reply_names_the_request_and_where_it_is() -> None:
    body = {"request_id": REQUEST, "status": "IN_QUEUE", "status_url": f"{HOME}/status", "response_url": HOME}
    assert answer(200, body) == Accepted(REQUEST, {"status_url": f"{HOME}/status", "response_url": HOME})


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/requests/1",
        "http://queue.fal.run/requests/1",
        "https://queue.fal.run:8443/requests/1",
        "https://id:pw@queue.fal.run/requests/1",
        "https://queue.fal.run.evil.example/1",
        "https://[broken",
        "",
        None,
        7,
    ],
)
def test_an_address_on_another_origin_is_dropped(url: object) -> None:
    assert answer(200, {"request_id": REQUEST, "status_url": url, "response_url": url}) == Accepted(REQUEST, {})


@pytest.mark.parametrize("body", [None, [], {}, {"request_id": ""}, {"request_id": "a b"}, {"request_id": "x" * 129}])
def test_an_acceptance_without_an_id_may_have_been_paid(body: object) -> None:
    refused = answer(200, body)
    assert isinstance(refused, Refused)
    assert (refused.judgement.verdict, refused.judgement.code) == (Verdict.AMBIGUOUS, "transport_no_task_id")


LOCKED = {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}


@pytest.mark.parametrize(
    ("status", "body", "headers", "verdict", "code"),
    [
        (429, {"detail": "slow"}, {}, Verdict.THROTTLE, "http_429"),
        (403, LOCKED, {}, Verdict.WALLET, "http_403_locked"),
        (402, None, {}, Verdict.WALLET, "http_402"),
        (403, {"detail": "API key lacks the scope"}, {}, Verdict.KEY, "http_403"),
        (403, {"detail": [{"msg": "no"}]}, {}, Verdict.KEY, "http_403"),
        (401, {"detail": "Unauthorized"}, {}, Verdict.KEY, "http_401"),
        (400, None, {}, Verdict.BAD_REQUEST, "http_400"),
        (404, {"detail": "Application not found"}, {}, Verdict.BAD_REQUEST, "http_404"),
        (413, None, {}, Verdict.BAD_REQUEST, "http_413"),
        (422, {"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]}, {}, Verdict.BAD_REQUEST, "http_422"),
        (422, {"detail": "refused"}, {}, Verdict.BAD_REQUEST, "http_422"),
        (503, {"error_type": "runner_disconnected"}, {}, Verdict.RETRY, "http_503_runner_disconnected"),
        (
            503,
            None,
            {"x_fal_error_type": "runner_connection_timeout"},
            Verdict.RETRY,
            "http_503_runner_connection_timeout",
        ),
        (503, None, {}, Verdict.RETRY, "http_503"),
        (520, None, {}, Verdict.AMBIGUOUS, "http_520"),
        (521, None, {}, Verdict.RETRY, "http_521"),
        (522, None, {}, Verdict.RETRY, "http_522"),
        (523, None, {}, Verdict.RETRY, "http_523"),
        (524, None, {}, Verdict.AMBIGUOUS, "http_524"),
        (
            504,
            {"error_type": "request_timeout"},
            {"x_fal_request_timeout_type": "user"},
            Verdict.RETRY,
            "http_504_user",
        ),
        (504, {"error_type": "startup_timeout"}, {}, Verdict.AMBIGUOUS, "http_504_startup_timeout"),
        (504, None, {}, Verdict.AMBIGUOUS, "http_504"),
        (500, None, {}, Verdict.AMBIGUOUS, "http_500"),
        (500, {"error_type": "internal_error"}, {}, Verdict.AMBIGUOUS, "http_500_internal_error"),
        (502, None, {"x-fal-error-type": "runner_gone"}, Verdict.AMBIGUOUS, "http_502_runner_gone"),
        (502, None, {}, Verdict.AMBIGUOUS, "http_502"),
    ],
)
def test_every_answer_of_the_table(
    status: int, body: object, headers: Mapping[str, str], verdict: Verdict, code: str
) -> None:
    refused = answer(status, body, **headers)
    assert isinstance(refused, Refused)
    assert (refused.judgement.verdict, refused.judgement.code, refused.judgement.known) == (verdict, code, True)


@pytest.mark.parametrize(
    ("where", "code", "verdict"),
    [
        ("transport", "connect", Verdict.RETRY),
        ("transport", "too_late", Verdict.RETRY),
        ("transport", "timeout", Verdict.AMBIGUOUS),
        ("transport", "lost", Verdict.AMBIGUOUS),
        ("transport", "no_task_id", Verdict.AMBIGUOUS),
    ],
)
def test_what_happens_on_the_way(where: Any, code: str, verdict: Verdict) -> None:
    assert verdict_table("fal").judge(where, code).verdict == verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("422", Verdict.BAD_REQUEST),
        ("404", Verdict.RETRY),
        ("500", Verdict.RETRY),
        ("503", Verdict.RETRY),
        ("provider_error", Verdict.RETRY),
        ("no_audio", Verdict.RETRY),
        ("url_refused", Verdict.BAD_REQUEST),
    ],
)
def test_what_failed_later(code: str, verdict: Verdict) -> None:
    judgement = verdict_table("fal").judge_failure(code)
    assert (judgement.verdict, judgement.known) == (verdict, True)


@pytest.mark.parametrize("status", [301, 418, 409])
def test_an_unknown_status_raises_the_alert(status: int) -> None:
    assert not answer(status, None).judgement.known


def test_a_retry_after_is_honoured() -> None:
    assert answer(429, None, retry_after="12").retry_after_seconds == 12.0


def test_a_hostile_error_type_is_no_code() -> None:
    assert refusal_code(Reply(503, {}, {"error_type": "a" * 61})) == "503"
    assert refusal_code(Reply(503, {}, {"error_type": "x\ny"})) == "503"


# --- the look-up ---


class Desk:
    """Answers by address, and remembers what was asked."""

    def __init__(self, **answers: Reply | None) -> None:
        self.answers = {"status": answers.get("status"), "result": answers.get("result")}
        self.asked: list[Call] = []

    async def __call__(self, call: Call) -> Reply | None:
        self.asked.append(call)
        return self.answers["status" if call.url.endswith("/status") else "result"]


async def found(status: Reply | None, result: Reply | None = None, **facts: str) -> tuple[Finding, Desk]:
    desk = Desk(status=status, result=result)
    return await FAL.look_up(access(), Task(REQUEST, facts), desk), desk


def state(word: str, **more: Any) -> Reply:
    return Reply(200 if word == "COMPLETED" else 202, {}, {"status": word, "logs": None, **more})


async def test_it_is_looked_up_at_the_addresses_of_the_reply() -> None:
    other = "https://queue.fal.run/elsewhere/requests/9"
    _, desk = await found(state("IN_PROGRESS"), status_url=f"{other}/status", response_url=other)
    assert [call.url for call in desk.asked] == [f"{other}/status"]
    assert desk.asked[0].headers["authorization"] == "Key id:secret"


@pytest.mark.parametrize("facts", [{}, {"status_url": "https://evil.example/status"}])
async def test_else_where_fals_own_client_would_look(facts: dict[str, str]) -> None:
    _, desk = await found(state("COMPLETED"), Reply(200, {}, {}), **facts)
    assert [call.url for call in desk.asked] == [f"{HOME}/status", HOME]


@pytest.mark.parametrize("word", ["IN_QUEUE", "IN_PROGRESS"])
async def test_what_waits_or_runs_is_running(word: str) -> None:
    assert (await found(state(word)))[0] == Finding("running")


@pytest.mark.parametrize("status", [None, Reply(404, {}, {"detail": "x"}), Reply(200, {}, None), state("NEWS")])
async def test_what_is_not_understood_says_nothing(status: Reply | None) -> None:
    assert (await found(status))[0] == Finding("unknown")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("ok", "fal-ai/elevenlabs/music"),
        ("ok_audio_file", "fal-ai/stable-audio"),
        ("ok_audios", "sonilo/v1.1/text-to-music"),
        ("ok_audio_list", "sonauto/v2/text-to-music"),
        ("ok_wav", "fal-ai/lyria2"),
    ],
)
def test_a_result_stands_for_its_webhook(name: str, model: str) -> None:
    webhook = example(name)
    finding = read_result(REQUEST, {}, Reply(200, {}, webhook["payload"]), model)
    assert (finding.state, finding.stage) == ("success", "complete")
    assert finding.news == webhook
    assert finding.takes[0]["url"].startswith("https://v3.fal.media/")


def test_several_files_are_several_takes_and_none_twice() -> None:
    result = Reply(200, {}, example("ok_audios")["payload"])
    assert len(read_result(REQUEST, {}, result, "sonilo/v1.1/text-to-music").takes) == 2


def test_a_result_without_audio_is_a_failure() -> None:
    webhook = example("ok_no_audio")
    finding = read_result(REQUEST, {}, Reply(200, {}, webhook["payload"]), "fal-ai/elevenlabs/music")
    assert (finding.state, finding.stage, finding.news) == ("failed", "error", webhook)


@pytest.mark.parametrize("name", ["error_422_list", "error_422_text"])
def test_a_model_error_is_told_in_both_forms_of_its_detail(name: str) -> None:
    webhook = example(name)
    finding = read_result(REQUEST, {}, Reply(422, {}, webhook["payload"]), "fal-ai/elevenlabs/music")
    assert (finding.state, finding.news) == ("failed", webhook)


def test_an_error_beside_completed_is_a_failure_whatever_the_result_call_says() -> None:
    told = {"error": "Worker died", "error_type": "runner_disconnected"}
    finding = read_result(REQUEST, told, Reply(503, {}, {"detail": "x"}), "fal-ai/elevenlabs/music")
    assert finding.news is not None
    assert finding.news["error"] == "Invalid status code: 503"


def test_an_expired_result_is_a_failure_that_may_be_retried() -> None:
    finding = read_result(REQUEST, {}, Reply(404, {}, {"detail": "Request not found"}), "fal-ai/elevenlabs/music")
    assert finding.news is not None
    assert finding.news["error"] == "Invalid status code: 404"


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 200])
def test_trouble_of_the_question_says_nothing_of_the_task(status: int) -> None:
    assert read_result(REQUEST, {}, Reply(status, {}, None), "fal-ai/elevenlabs/music") == Finding("unknown")


def test_what_was_asked_is_not_repeated_in_the_news() -> None:
    detail = [{"loc": ["body", "prompt"], "msg": "too long", "type": "t", "input": "what was asked"}]
    finding = read_result(REQUEST, {}, Reply(422, {}, {"detail": detail}), "fal-ai/elevenlabs/music")
    assert "what was asked" not in json.dumps(finding.news)


def test_nobody_is_asked_for_a_balance() -> None:
    assert FAL.credit(access()) is None


def test_a_result_that_is_too_large_for_a_webhook_is_told_without_what_is_not_audio() -> None:
    audio = {"url": "https://v3.fal.media/files/a/song.mp3", "content_type": "audio/mpeg"}
    result = Reply(200, {}, {"audio": audio, "timestamps": [{"word": "la", "start": 0.1}] * 5000})
    finding = read_result(REQUEST, {}, result, "fal-ai/elevenlabs/music")
    assert finding.takes == ({"url": audio["url"], "duration": None},)
    assert finding.news is not None
    assert finding.news["payload"] == {"audio": audio}
