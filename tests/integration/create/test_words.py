"""The model's words on a real database, with OpenAI's API played by a server on a real socket."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from libs.common.database import Database
from libs.common.events import RunCreated
from services.create.clients import OpenAIAuthor, open_author
from services.create.consumers import on_created
from services.create.domain.errors import NoWordsError
from services.create.domain.prompt import Prompt
from services.create.handlers.words import enrich_one
from tests.integration.create.desk import PANIC, start
from tests.integration.create.openai_server import HANG, Reply, completion, error, good, openai_server, words

SEGMENTS = 6


class Silent:
    """A model that is always away."""

    async def write(self, prompt: Prompt) -> object:
        del prompt
        raise NoWordsError("unreachable")


@pytest.fixture
async def run_id(client: httpx.AsyncClient, pool: Database, user_id: uuid.UUID) -> uuid.UUID:
    """A run with its text job, as the consumer of its news writes it."""
    run_id = uuid.UUID((await start(client, user_id)).json()["runId"])
    await hear(pool, run_id)
    return run_id


async def hear(pool: Database, run_id: uuid.UUID) -> None:
    news = RunCreated(run_id=run_id, preset_key="panique-anxiete", strategy="ahead", segments_count=SEGMENTS)
    async with pool.transaction() as connection:
        await on_created(connection, news)


def author_at(url: str, seconds: float = 15.0) -> AbstractAsyncContextManager[OpenAIAuthor]:
    return open_author(api_key=SecretStr("a-key"), base_url=url, model="gpt-4o-mini", seconds=seconds)


async def enrich(pool: Database, *script: Reply | str, seconds: float = 15.0) -> list[dict[str, Any]]:
    """Do one job against a server with this script; what the server was asked."""
    async with openai_server(*script) as server, author_at(server.url, seconds) as author:
        assert await enrich_one(pool, author, lease_seconds=30)
        assert set(server.paths) == {"/v1/chat/completions"}
        return server.asked


async def everything(connection: asyncpg.Connection) -> dict[str, Any]:
    """What the model may and may not touch."""
    run = await connection.fetchrow("SELECT brief, plan, metadata, status FROM parcours_runs")
    segments = await connection.fetch("SELECT title, prompt, plan FROM parcours_segments ORDER BY segment_index")
    assert run is not None
    return dict(run) | {"segments": [dict(each) for each in segments]}


async def jobs(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM text_jobs"))


async def news(connection: asyncpg.Connection) -> list[Mapping[str, Any]]:
    return [row["payload"] for row in await connection.fetch("SELECT payload FROM outbox WHERE topic = 'run.enriched'")]


async def test_a_good_answer_becomes_the_runs_words(
    pool: Database, connection: asyncpg.Connection, run_id: uuid.UUID
) -> None:
    before = await everything(connection)
    await enrich(pool, good(SEGMENTS))
    after = await everything(connection)
    assert after["plan"] == before["plan"]
    assert after["brief"] == words(SEGMENTS)["brief"]
    assert after["metadata"]["text_source"] == "model"
    assert after["metadata"]["texts"]["segments"][0]["lines"] == words(SEGMENTS)["segments"][0]["lines"]
    for old, new in zip(before["segments"], after["segments"], strict=True):
        colour = words(SEGMENTS)["segments"][0]["colour"]
        assert (new["title"], new["prompt"]) == ("La rive claire", f"{old['prompt']}, {colour}")
        assert new["plan"] == old["plan"] | {
            "title": new["plan"]["title"],
            "colour": colour,
            "style": new["prompt"],
        }
    assert await jobs(connection) == 0
    assert await news(connection) == [
        {"version": 1, "run_id": str(run_id), "changed": ["brief", "titles", "colour", "lines"]}
    ]


async def test_sound_that_is_requested_stays_as_it_was(
    pool: Database, connection: asyncpg.Connection, run_id: uuid.UUID
) -> None:
    await connection.execute("UPDATE parcours_segments SET requested_at = now() WHERE segment_index < 2")
    before = await everything(connection)
    await enrich(pool, good(SEGMENTS))
    after = await everything(connection)
    assert {each["title"] for each in after["segments"]} == {"La rive claire"}
    coloured = [each["plan"]["colour"] is not None for each in after["segments"]]
    assert coloured == [False, False, True, True, True, True]
    assert [each["prompt"] for each in after["segments"][:2]] == [each["prompt"] for each in before["segments"][:2]]
    assert [each["colour"] is not None for each in after["metadata"]["texts"]["segments"]] == coloured
    assert (await news(connection))[0]["run_id"] == str(run_id)


async def test_lines_that_may_be_spoken_already_stay_and_others_are_reworded_in_their_places(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    answer = await start(client, user_id, PANIC | {"narration": True})
    await hear(pool, uuid.UUID(answer.json()["runId"]))
    await connection.execute("UPDATE parcours_segments SET requested_at = now() WHERE segment_index < 2")
    before = await everything(connection)
    assert before["plan"]["narration"] is True
    await enrich(pool, good(SEGMENTS))
    after = await everything(connection)
    model = words(SEGMENTS)["segments"][0]["lines"]
    for index, (old, new) in enumerate(zip(before["segments"], after["segments"], strict=True)):
        said = [line["text"] for line in new["plan"]["narration"]["lines"]]
        kept = [line["text"] for line in old["plan"]["narration"]["lines"]]
        assert said == (kept if index < 2 else model)
        assert new["plan"]["narration"]["lines"][0]["at_seconds"] == 8.0
        assert after["metadata"]["texts"]["segments"][index]["lines"] == said


@pytest.mark.usefixtures("run_id")
async def test_colour_alone_for_sound_that_is_all_requested_changes_nothing(
    pool: Database, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE parcours_segments SET requested_at = now()")
    before = await everything(connection)
    only = [{"title": "Panique", "colour": "soft and wide", "lines": ["Prenez 500 mg."]} for _ in range(SEGMENTS)]
    await enrich(pool, good(SEGMENTS, brief="Guérir.", title="Peur", segments=only))
    assert await everything(connection) == before
    assert (await jobs(connection), await news(connection)) == (0, [])


async def test_the_model_is_told_techniques_and_nothing_of_the_person(
    pool: Database, connection: asyncpg.Connection, run_id: uuid.UUID, user_id: uuid.UUID
) -> None:
    (asked,) = await enrich(pool, good(SEGMENTS))
    assert asked["response_format"]["json_schema"]["strict"] is True
    told = json.loads(asked["messages"][1]["content"])
    assert set(told) == {"language", "timbre", "segments"}
    assert all(set(each) == {"techniques", "phase"} for each in told["segments"])
    person = json.dumps(told) + json.dumps({name: value for name, value in asked.items() if name != "messages"})
    for secret in ("fear", "peur", "suds", "panique", "0.8", str(run_id), str(user_id)):
        assert secret not in person.lower()
    assert await jobs(connection) == 0


@pytest.mark.usefixtures("run_id")
async def test_a_hostile_answer_leaves_durations_safety_and_sound_alone(
    pool: Database, connection: asyncpg.Connection
) -> None:
    before = await everything(connection)
    hostile = {
        "title": "La rive claire",
        "colour": "screaming vocals at 180 BPM",
        "lines": ["Ce parcours vous guérit.", "Appelez le 0800123456."],
        "seconds": 9999,
        "negative_tags": [],
    }
    answer = words(SEGMENTS, segments=[hostile] * SEGMENTS, notices=[], plan={"segments": []}, provider="other")
    await enrich(pool, completion(json.dumps(answer)))
    after = await everything(connection)
    assert after["plan"] == before["plan"]
    assert after["metadata"]["text_source"] == "mixed"
    for old, new in zip(before["segments"], after["segments"], strict=True):
        assert new["prompt"] == old["prompt"]
        assert new["plan"] == old["plan"] | {"title": new["plan"]["title"]}
    old_lines = [each["lines"] for each in before["metadata"]["texts"]["segments"]]
    assert [each["lines"] for each in after["metadata"]["texts"]["segments"]] == old_lines
    assert (await news(connection))[0]["changed"] == ["brief", "titles"]


FAILURES: dict[str, tuple[tuple[Reply | str, ...], float, int]] = {
    # what the server does, s the model may take, questions it gets
    "refusal": ((completion(None, refusal="I cannot help with that."),), 15, 1),
    "truncation": ((completion('{"brief": "Ce mo', finish_reason="length"),), 15, 1),
    "filtered": ((completion(None, finish_reason="content_filter"),), 15, 1),
    "another shape": ((completion('{"brief": 5}'),), 15, 1),
    "no JSON in the message": ((completion("Bien sûr ! Voici :"),), 15, 1),
    "nothing in the message": ((completion(None),), 15, 1),
    "no choices": ((completion("{}", choices=0),), 15, 1),
    "no JSON in the answer": ((Reply(200, b"<html>"),), 15, 1),
    "an empty answer": ((Reply(200, b"{}"),), 15, 1),
    "another number of segments": ((good(1, brief="", title="Panique"),), 15, 1),
    "429 for five minutes": ((error(429, "rate_limit_exceeded", **{"retry-after": "300"}),), 15, 1),
    "429 twice": ((error(429, "rate_limit_exceeded", **{"retry-after": "0.05"}),), 15, 2),
    "an empty wallet": ((error(429, "insufficient_quota"),), 15, 1),
    "500 twice": ((error(500),), 15, 2),
    "401": ((error(401, "invalid_api_key"),), 15, 1),
    "404": ((error(404, "model_not_found"),), 15, 1),
    "hang": ((HANG,), 0.5, 1),
    "500, then a hang": ((error(500, **{"retry-after": "0.05"}), HANG), 0.6, 2),
}


@pytest.mark.usefixtures("run_id")
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_model_that_fails_ends_in_the_templates_and_no_job(
    pool: Database, connection: asyncpg.Connection, failure: str
) -> None:
    script, seconds, questions = FAILURES[failure]
    before = await everything(connection)
    began = time.monotonic()
    asked = await enrich(pool, *script, seconds=seconds)
    assert time.monotonic() - began < 5
    assert len(asked) == questions
    assert await everything(connection) == before
    assert before["metadata"]["text_source"] == "template"
    assert (await jobs(connection), await news(connection)) == (0, [])


@pytest.mark.usefixtures("run_id")
@pytest.mark.parametrize(
    "passing",
    [error(429, "rate_limit_exceeded", **{"retry-after": "1"}), error(503)],
    ids=["429 for a second", "503"],
)
async def test_what_passes_is_asked_once_more(pool: Database, connection: asyncpg.Connection, passing: Reply) -> None:
    assert len(await enrich(pool, passing, good(SEGMENTS))) == 2
    assert (await everything(connection))["metadata"]["text_source"] == "model"


@pytest.mark.usefixtures("run_id")
async def test_a_server_that_is_not_there_ends_in_the_templates(pool: Database, connection: asyncpg.Connection) -> None:
    async with author_at("http://127.0.0.1:9/v1") as author:
        assert await enrich_one(pool, author, lease_seconds=30)
    assert (await jobs(connection), await news(connection)) == (0, [])


@pytest.mark.usefixtures("run_id")
async def test_a_lost_lease_is_anothers_and_the_third_was_the_last(
    pool: Database, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE text_jobs SET lease_until = now() + interval '1 min', tries = 1")
    assert not await enrich_one(pool, Silent(), lease_seconds=30)
    await connection.execute("UPDATE text_jobs SET lease_until = now(), tries = 3")
    async with openai_server(good(SEGMENTS)) as server, author_at(server.url) as author:
        assert await enrich_one(pool, author, lease_seconds=30)
        assert server.asked == []
    assert (await jobs(connection), await news(connection)) == (0, [])


@pytest.mark.usefixtures("run_id")
async def test_of_two_workers_the_one_that_holds_the_lease_writes(
    pool: Database, connection: asyncpg.Connection
) -> None:
    class Slow:
        async def write(self, prompt: Prompt) -> object:
            del prompt
            await connection.execute("UPDATE text_jobs SET lease_until = now()")
            await enrich(pool, good(SEGMENTS))
            return words(SEGMENTS, title="Trop tard", brief="Je viens tard. Je ne compte plus.")

    assert await enrich_one(pool, Slow(), lease_seconds=30)
    assert (await everything(connection))["metadata"]["texts"]["title"] == "Une rive tranquille"
    assert len(await news(connection)) == 1


async def test_four_workers_at_once_do_each_run_once(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection
) -> None:
    for _ in range(6):
        await hear(pool, uuid.UUID((await start(client, uuid.uuid4())).json()["runId"]))
    async with openai_server(good(SEGMENTS)) as server, author_at(server.url) as author:

        async def work() -> None:
            while await enrich_one(pool, author, lease_seconds=30):
                pass

        await asyncio.gather(*(work() for _ in range(4)))
        assert len(server.asked) == 6
    assert (await jobs(connection), len(await news(connection))) == (0, 6)


@pytest.mark.parametrize(
    "later",
    [
        "UPDATE parcours_runs SET status = 'ready'",
        "UPDATE parcours_runs SET created_at = now() - interval '2 h'",
        'UPDATE parcours_runs SET metadata = metadata || \'{"text_source": "model"}\'',
        "DELETE FROM parcours_runs",
    ],
    ids=["ready", "old", "enriched", "erased"],
)
async def test_old_news_ask_for_no_words(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID, later: str
) -> None:
    run_id = uuid.UUID((await start(client, user_id)).json()["runId"])
    await connection.execute(later)
    await hear(pool, run_id)
    assert await jobs(connection) == 0
