"""Claims about kie.ai's dialect: by generation of the model, its own codes, and a job's two readings."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.generator.clients.dialect import Access, Call, Reply, Task
from services.generator.clients.kie import Kie, read_job
from services.generator.domain.answers import Accepted, Finding, Refused
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import load_provider
from services.generator.domain.request import SegmentBrief
from services.generator.domain.verdicts import Verdict, verdict_table

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / "webhooks" / "kie"
SEGMENT, TOKEN = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"), UUID("11111111-2222-4333-8444-555555555555")
TASK = "9f0c5a1e7b3d4c2f8a6e1d0b5c4f3a2e"
PROVIDER = load_provider("suno", Clockwork(), 1.0, "kie")
PLAN = {
    "file_seconds": 120,
    "style_clauses": ["instrumental ambient, no vocals"],
    "negative_tags": ["drums"],
    "style_weight": 0.6,
    "weirdness": 0.2,
}
KIE = Kie()


def access(model: str = "V6") -> Access:
    return Access(
        provider=PROVIDER,
        base_url="https://api.kie.ai",
        key="kie-key",
        model=model,
        callback_base="https://parcours.fr/callback",
    )


def submitted(model: str) -> tuple[str, dict[str, Any]]:
    call = KIE.submission(access(model), SegmentBrief(SEGMENT, "A place", 0, 6, PLAN), TOKEN)
    assert call.content is not None
    return call.url, json.loads(call.content)


def example(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return loaded


def test_the_newer_models_are_asked_as_jobs() -> None:
    url, body = submitted("V6")
    assert url == "https://api.kie.ai/api/v1/jobs/createTask"
    assert body == {
        "model": "ai-music-api/generate",
        "callBackUrl": f"https://parcours.fr/callback?segment={SEGMENT}&token={TOKEN}",
        "input": {
            "custom_mode": True,
            "instrumental": True,
            "model": "V6",
            "style": "instrumental ambient, no vocals",
            "title": "A place 1/6",
            "negative_tags": "drums",
            "style_weight": 0.6,
            "weirdness_constraint": 0.2,
            "duration": 120,
        },
    }


@pytest.mark.parametrize("model", ["V4", "V4_5", "V5", "V5_5"])
def test_the_older_models_are_asked_as_at_its_sister(model: str) -> None:
    url, body = submitted(model)
    assert url == "https://api.kie.ai/api/v1/generate"
    assert body["callBackUrl"].endswith(str(TOKEN))
    assert body["customMode"] is True


@pytest.mark.parametrize("where", ["body", "http"])
@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (429, Verdict.THROTTLE),
        (402, Verdict.WALLET),
        (401, Verdict.KEY),
        (400, Verdict.BAD_REQUEST),
        (404, Verdict.BAD_REQUEST),
        (413, Verdict.BAD_REQUEST),
        (422, Verdict.BAD_REQUEST),
        (455, Verdict.MAINTENANCE),
    ],
)
def test_every_refusal_of_the_table(where: str, code: int, verdict: Verdict) -> None:
    assert judged(where, code) == (verdict, True)


@pytest.mark.parametrize(
    ("where", "code", "verdict"),
    [
        ("body", 433, Verdict.WALLET),
        ("body", 505, Verdict.BAD_REQUEST),
        ("body", 500, Verdict.RETRY),
        ("body", 501, Verdict.RETRY),
        ("http", 503, Verdict.RETRY),
        ("http", 521, Verdict.RETRY),
        ("http", 522, Verdict.RETRY),
        ("http", 523, Verdict.RETRY),
        ("http", 200, Verdict.AMBIGUOUS),
        ("http", 500, Verdict.AMBIGUOUS),
        ("http", 502, Verdict.AMBIGUOUS),
        ("http", 504, Verdict.AMBIGUOUS),
        ("http", 520, Verdict.AMBIGUOUS),
        ("http", 524, Verdict.AMBIGUOUS),
    ],
)
def test_every_trouble_of_the_table(where: str, code: int, verdict: Verdict) -> None:
    assert judged(where, code) == (verdict, True)


def judged(where: str, code: int) -> tuple[Verdict, bool]:
    reply = Reply(200, {}, {"code": code, "msg": "no", "data": None}) if where == "body" else Reply(code, {}, None)
    refused = KIE.read_submission(access(), reply)
    assert isinstance(refused, Refused)
    return refused.judgement.verdict, refused.judgement.known


def test_the_html_of_a_refused_agent_is_a_matter_of_the_key() -> None:
    assert judged("http", 403) == (Verdict.KEY, True)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("402", Verdict.WALLET),
        ("429", Verdict.WALLET),
        ("433", Verdict.WALLET),
        ("422", Verdict.BAD_REQUEST),
        ("501", Verdict.RETRY),
        ("531", Verdict.RETRY),
    ],
)
def test_what_failed_later(code: str, verdict: Verdict) -> None:
    judgement = verdict_table("kie").judge_failure(code)
    assert (judgement.verdict, judgement.known) == (verdict, True)


def test_a_task_id_is_an_acceptance() -> None:
    body = {"code": 200, "msg": "success", "data": {"taskId": TASK}}
    assert KIE.read_submission(access(), Reply(200, {}, body)) == Accepted(TASK)


@pytest.mark.parametrize("state", ["waiting", "queuing", "generating"])
def test_a_job_that_waits_or_works_is_running(state: str) -> None:
    job = example("generating")
    job["data"]["state"] = state
    assert read_job(job) == Finding("running")


@pytest.mark.parametrize(("name", "duration"), [("success_data", 182.4), ("success_urls", None)])
def test_both_readings_of_a_result_are_read(name: str, duration: float | None) -> None:
    finding = read_job(example(name))
    assert (finding.state, finding.stage, len(finding.takes)) == ("success", "complete", 2)
    assert finding.takes[0] == {"url": "https://tempfile.aiquickdraw.com/r/9f0c_a.mp3", "duration": duration}


@pytest.mark.parametrize("name", ["success_data", "success_urls", "fail"])
def test_the_news_is_what_a_jobs_webhook_says(name: str) -> None:
    webhook = example(name)
    del webhook["data"]["param"]  # what was asked is not repeated
    assert read_job(example(name)).news == webhook


def test_a_failed_job_is_told() -> None:
    assert (read_job(example("fail")).state, read_job(example("fail")).stage) == ("failed", "error")


@pytest.mark.parametrize("name", ["success_null", "success_malformed"])
def test_success_without_audio_says_nothing_yet(name: str) -> None:
    assert read_job(example(name)) == Finding("unknown")


@pytest.mark.parametrize("body", [None, [], {"code": 404, "data": None}, {"data": {"state": "new"}}])
def test_anything_else_says_nothing(body: object) -> None:
    assert read_job(body) == Finding("unknown")


@pytest.mark.parametrize(
    ("model", "path"), [("V6", "/api/v1/jobs/recordInfo"), ("V4_5", "/api/v1/generate/record-info")]
)
async def test_a_task_is_looked_up_where_its_kind_is_kept(model: str, path: str) -> None:
    asked: list[Call] = []

    async def ask(call: Call) -> None:
        asked.append(call)

    assert await KIE.look_up(access(model), Task(TASK), ask) == Finding("unknown")
    assert asked[0].url == f"https://api.kie.ai{path}?taskId={TASK}"


def test_the_balance_is_asked_elsewhere_and_may_be_a_fraction() -> None:
    call = KIE.credit(access())
    assert call is not None
    assert call.url == "https://api.kie.ai/api/v1/chat/credit"
    assert KIE.read_credit(Reply(200, {}, {"code": 200, "data": 12.5})) == 12.5
    assert KIE.read_credit(Reply(200, {}, {"code": 401, "data": 12.5})) is None
