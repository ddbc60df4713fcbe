"""Claims about what is really sent: every model's request is taken by the simulator that knows the provider's rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from services.generator.clients import Access, MusicClient
from services.generator.clients.transport import USER_AGENT
from services.generator.domain.answers import Accepted, Refused
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.model_forms import known_models
from services.generator.domain.providers import load_provider
from services.generator.domain.request import SegmentBrief
from services.generator.domain.verdicts import Verdict
from stack.simulators import fal, replicate, suno
from stack.simulators.jobs.settings import Settings as SignedSettings

CLOCK = Clockwork()
SUNO_MODELS = known_models("models")
PLAN = {
    "file_seconds": 345,
    "style_clauses": ["instrumental ambient, no vocals", "72 BPM easing to 60 BPM", "D dorian, " * 40, "wide " * 90],
    "length_clause": "about 5 minutes",
    "colour": "like rain on warm stone",
    "negative_tags": ["drums", "vocals", *[f"tag number {number}" for number in range(90)]],
    "style_weight": 1.7,
    "weirdness": -0.2,
    "x_parcours": {"version": 1},
}
BRIEF = SegmentBrief(UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"), "A place of your own " * 8, 2, 6, PLAN)


def access(source: str, model: str, *, name: str | None = None, path: str = "") -> Access:
    return Access(
        provider=load_provider(name or source, CLOCK, 1.0, source),
        base_url=f"http://provider{path}",
        key="key-1",
        model=model,
        callback_base="https://parcours.fr/callback",
        keys_url="http://provider/.well-known/jwks.json",
    )


@asynccontextmanager
async def speaking(app: Starlette, way: Access) -> AsyncIterator[MusicClient]:
    """A client whose only account is at this application."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, headers={"user-agent": USER_AGENT}) as http,
    ):
        yield MusicClient(http, {"account": way}, CLOCK)


def reseller(dialect: Any, **changes: Any) -> Starlette:
    facts = {"speed": 1000.0, "reply_delay": (0.0, 0.0), "callbacks": "none", "dialect": dialect, "refuse_bots": True}
    return suno.make_app(suno.Settings(**(facts | changes)))


@pytest.mark.parametrize("model", SUNO_MODELS)
@pytest.mark.parametrize("dialect", ["sunoapi", "kie"])
async def test_both_generations_are_asked_within_their_rules(dialect: str, model: str) -> None:
    source = "suno" if dialect == "sunoapi" else "kie"
    async with speaking(reseller(dialect), access(source, model, name="suno")) as music:
        answer = await music.generate("account", BRIEF, uuid4())
        assert isinstance(answer, Accepted), answer
        assert (await music.record_info("account", answer.task_id)).state in ("running", "success")
        assert await music.credit("account") == 100_000 - 12


@pytest.mark.parametrize("model", known_models("fal_models"))
async def test_every_model_of_fal_takes_its_input(model: str) -> None:
    works, app = fal.make_fal(SignedSettings(speed=1000.0, origin="http://provider", callbacks="none"))
    async with speaking(app, access("fal", model)) as music:
        answer = await music.generate("account", BRIEF, uuid4())
        assert isinstance(answer, Accepted), answer
        job = works.jobs[answer.task_id]
        assert (job.model, job.segment) == (model, str(BRIEF.segment_id))
        await works.finish_now(job)
        finding = await music.record_info("account", answer.task_id, answer.facts)
        assert (finding.state, len(finding.takes)) == ("success", 1)


@pytest.mark.parametrize("model", known_models("replicate_models"))
async def test_every_model_of_replicate_takes_its_input(model: str) -> None:
    works, app = replicate.make_replicate(SignedSettings(speed=1000.0, origin="http://provider", callbacks="none"))
    async with speaking(app, access("replicate", model, path="/v1")) as music:
        answer = await music.generate("account", BRIEF, uuid4())
        assert isinstance(answer, Accepted), answer
        await works.finish_now(works.jobs[answer.task_id])
        assert (await music.record_info("account", answer.task_id)).state == "success"
        assert await music.webhook_keys("account") == {"default": works.secret}


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(402, Verdict.WALLET), (433, Verdict.WALLET), (429, Verdict.THROTTLE), (505, Verdict.BAD_REQUEST)],
)
async def test_kies_codes_are_its_own(code: int, verdict: Verdict) -> None:
    app = reseller("kie")
    app.state.reseller.faults.replace([{"fault": "code", "code": code}])
    async with speaking(app, access("kie", "V6", name="suno")) as music:
        answer = await music.generate("account", BRIEF, uuid4())
    assert isinstance(answer, Refused)
    assert (answer.judgement.verdict, answer.judgement.code) == (verdict, f"body_{code}")


@pytest.mark.parametrize("reading", ["data", "urls"])
async def test_both_readings_of_a_kie_job_are_found(reading: str) -> None:
    app = reseller("kie", result_json=reading, speed=1_000_000.0, origin="http://provider")
    async with speaking(app, access("kie", "V6", name="suno")) as music:
        answer = await music.generate("account", BRIEF, uuid4())
        assert isinstance(answer, Accepted)
        async with asyncio.timeout(10):
            while (finding := await music.record_info("account", answer.task_id)).state == "running":
                await asyncio.sleep(0.01)
    assert (finding.state, finding.stage, len(finding.takes)) == ("success", "complete", 2)


async def test_an_empty_account_is_told_by_its_code() -> None:
    async with speaking(reseller("kie", credits=3), access("kie", "V6", name="suno")) as music:
        answer = await music.generate("account", BRIEF, uuid4())
    assert isinstance(answer, Refused)
    assert (answer.judgement.verdict, answer.judgement.code) == (Verdict.WALLET, "body_402")


async def test_questions_about_an_account_that_is_configured_no_more_are_not_asked() -> None:
    async with speaking(reseller("sunoapi"), access("suno", "V5_5")) as music:
        assert (await music.record_info("gone", "task")).state == "unknown"
        assert [await music.credit("gone"), await music.webhook_keys("gone"), music.price("gone", PLAN)] == [None] * 3
