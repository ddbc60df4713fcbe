"""Claims about Replicate's dialect: what is sent, every row of its table, and what a prediction says."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.generator.clients.dialect import Access, Call, Reply, Task
from services.generator.clients.replicate import Replicate, read_prediction
from services.generator.domain.answers import Accepted, Finding, Refused
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import load_provider
from services.generator.domain.request import SegmentBrief
from services.generator.domain.verdicts import Verdict, verdict_table

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / "webhooks" / "replicate"
SEGMENT, TOKEN = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"), UUID("11111111-2222-4333-8444-555555555555")
PREDICTION = "gm3qorzdhgbfurvjtvhg6dckhu"
ACCESS = Access(
    provider=load_provider("replicate", Clockwork(), 1.0),
    base_url="https://api.replicate.com/v1",
    key="r8_key",
    model="stability-ai/stable-audio-2.5",
    callback_base="https://parcours.fr/callback",
)
PLAN = {
    "file_seconds": 245,
    "style_clauses": ["instrumental ambient, no vocals", "D dorian"],
    "negative_tags": "drums, vocals",
    "style_weight": 0.6,
    "weirdness": 0.2,
}
REPLICATE = Replicate()


def example(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return loaded


def answer(status: int, body: object, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return REPLICATE.read_submission(ACCESS, Reply(status, named, body))


def test_an_official_model_is_asked_by_name_with_its_webhook() -> None:
    call = REPLICATE.submission(ACCESS, SegmentBrief(SEGMENT, "A place", 0, 6, PLAN), TOKEN)
    assert call.url == "https://api.replicate.com/v1/models/stability-ai/stable-audio-2.5/predictions"
    assert call.headers["authorization"] == "Bearer r8_key"
    assert call.content is not None
    assert json.loads(call.content) == {
        "input": {"prompt": "instrumental ambient, no vocals, without drums, vocals, D dorian", "duration": 190},
        "webhook": f"https://parcours.fr/callback?segment={SEGMENT}&token={TOKEN}",
        "webhook_events_filter": ["start", "output", "completed"],
    }
    assert REPLICATE.price(ACCESS, PLAN) == pytest.approx(0.2)


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("name", ["starting", "processing", "succeeded", "failed"])
def test_any_2xx_is_a_created_prediction(status: int, name: str) -> None:
    assert answer(status, example(name)) == Accepted(PREDICTION)


@pytest.mark.parametrize("body", [None, {}, {"id": 7}, {"id": "with space"}])
def test_a_2xx_without_an_id_may_have_been_paid(body: object) -> None:
    assert answer(201, body).judgement.verdict is Verdict.AMBIGUOUS


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (429, Verdict.THROTTLE),
        (402, Verdict.WALLET),
        (401, Verdict.KEY),
        (400, Verdict.BAD_REQUEST),
        (404, Verdict.BAD_REQUEST),
        (413, Verdict.BAD_REQUEST),
        (422, Verdict.BAD_REQUEST),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
        (502, Verdict.AMBIGUOUS),
        (504, Verdict.AMBIGUOUS),
        (520, Verdict.AMBIGUOUS),  # these five are the front's in between: what it says of 520 and 524 was sent on
        (521, Verdict.RETRY),
        (522, Verdict.RETRY),
        (523, Verdict.RETRY),
        (524, Verdict.AMBIGUOUS),
    ],
)
@pytest.mark.parametrize("body", [None, {"title": "x", "detail": "y", "status": 400}])
def test_every_status_of_the_table(status: int, verdict: Verdict, body: object) -> None:
    refused = answer(status, body)
    assert isinstance(refused, Refused)
    assert (refused.judgement.verdict, refused.judgement.known) == (verdict, True)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("connect", Verdict.RETRY),
        ("too_late", Verdict.RETRY),
        ("timeout", Verdict.AMBIGUOUS),
        ("lost", Verdict.AMBIGUOUS),
        ("no_task_id", Verdict.AMBIGUOUS),
    ],
)
def test_what_happens_on_the_way(code: str, verdict: Verdict) -> None:
    assert verdict_table("replicate").judge("transport", code).verdict == verdict


@pytest.mark.parametrize("code", ["failed", "canceled", "aborted", "no_audio", "file_gone"])
def test_what_failed_later_may_be_retried(code: str) -> None:
    judgement = verdict_table("replicate").judge_failure(code)
    assert (judgement.verdict, judgement.known) == (Verdict.RETRY, True)


@pytest.mark.parametrize(
    ("headers", "detail", "seconds"),
    [
        ({}, "Request was throttled. Your rate limit resets in ~30s.", 30.0),
        ({}, "Request was throttled. Your rate limit resets in 4s.", 4.0),
        ({"retry_after": "7"}, "Your rate limit resets in ~30s.", 7.0),
        ({}, "Request was throttled.", None),
        ({}, None, None),
    ],
)
def test_the_wait_of_a_throttle_stands_in_its_text(headers: dict[str, str], detail: str, seconds: float) -> None:
    assert answer(429, {"detail": detail}, **headers).retry_after_seconds == seconds


@pytest.mark.parametrize("name", ["starting", "processing", "processing_with_output"])
def test_what_has_not_ended_is_running(name: str) -> None:
    assert read_prediction(example(name)) == Finding("running")


@pytest.mark.parametrize("name", ["succeeded", "succeeded_list"])
def test_output_is_an_address_or_a_list_of_them(name: str) -> None:
    finding = read_prediction(example(name))
    assert (finding.state, finding.stage) == ("success", "complete")
    assert finding.takes == ({"url": "https://replicate.delivery/xezq/Nq3fWc8n2mQx/output.mp3", "duration": None},)
    assert finding.news is not None
    assert finding.news["status"] == "succeeded"
    assert finding.news["output"] == example(name)["output"]


@pytest.mark.parametrize("name", ["succeeded_null", "data_removed"])
def test_success_without_output_is_an_end_without_music(name: str) -> None:
    finding = read_prediction(example(name))
    assert (finding.state, finding.stage, finding.takes) == ("failed", "error", ())


@pytest.mark.parametrize("name", ["failed", "canceled", "aborted"])
def test_every_bad_end_is_told(name: str) -> None:
    finding = read_prediction(example(name))
    assert finding.state == "failed"
    assert finding.news is not None
    assert finding.news["status"] == name


@pytest.mark.parametrize("name", ["succeeded", "failed"])
def test_the_news_repeats_neither_what_was_asked_nor_where_to_tell_it(name: str) -> None:
    news = read_prediction(example(name) | {"webhook": f"https://x/callback?token={TOKEN}"}).news
    assert news is not None
    assert not {"input", "webhook", "urls", "logs"} & set(news)


@pytest.mark.parametrize("body", [None, [], {}, {"status": "new"}, {"status": 1}])
def test_anything_else_says_nothing(body: object) -> None:
    assert read_prediction(body) == Finding("unknown")


async def test_a_prediction_is_looked_up_by_its_id() -> None:
    asked: list[Call] = []

    async def ask(call: Call) -> Reply:
        asked.append(call)
        return Reply(200, {}, example("succeeded"))

    finding = await REPLICATE.look_up(ACCESS, Task("a/b?c"), ask)
    assert finding.state == "success"
    assert asked[0].url == "https://api.replicate.com/v1/predictions/a%2Fb%3Fc"


@pytest.mark.parametrize("reply", [None, Reply(404, {}, {"detail": "x"}), Reply(500, {}, None)])
async def test_a_question_that_is_not_answered_says_nothing(reply: Reply | None) -> None:
    async def ask(_call: Call) -> Reply | None:
        return reply

    assert await REPLICATE.look_up(ACCESS, Task(PREDICTION), ask) == Finding("unknown")


SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def test_the_secret_is_the_only_key() -> None:
    assert REPLICATE.read_keys(Reply(200, {}, {"key": SECRET})) == {"default": SECRET}
    call = REPLICATE.keys(ACCESS)
    assert call is not None
    assert call.url == "https://api.replicate.com/v1/webhooks/default/secret"
    assert call.headers["authorization"] == "Bearer r8_key"


@pytest.mark.parametrize(
    ("status", "body"), [(401, {"key": SECRET}), (200, {"key": "whsec_"}), (200, {"key": "no"}), (200, {}), (200, None)]
)
def test_an_answer_without_the_secret_is_none(status: int, body: object) -> None:
    assert REPLICATE.read_keys(Reply(status, {}, body)) is None


def test_nobody_is_asked_for_a_balance() -> None:
    assert REPLICATE.credit(ACCESS) is None
