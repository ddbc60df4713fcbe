"""kie.ai's dialect: createTask and recordInfo, its codes, its webhook and signature, its readings of resultJson."""

import json
from typing import Any

import pytest

from stack.simulators.suno import kie
from tests.unit.stack.suno_rig import LISTENER, OLD, World, world

INPUT = {"custom_mode": True, "instrumental": True, "model": "V6", "style": "warm folk", "title": "Dawn"}
JOBS = "/api/v1/jobs/createTask"


def job(**changes: object) -> dict[str, Any]:
    given = {key: value for key, value in (INPUT | changes).items() if value is not ...}
    return {"model": kie.MODEL, "callBackUrl": LISTENER, "input": given}


async def begin(one: World, **changes: object) -> str:
    said = await one.submit(JOBS, job(**changes))
    assert said["code"] == 200, said
    return str(said["data"]["taskId"])


async def look(one: World, task_id: str) -> dict[str, Any]:
    said: dict[str, Any] = (await one.client.get(f"/api/v1/jobs/recordInfo?taskId={task_id}")).json()
    return said


def test_the_signature_is_the_one_of_the_fact_sheet() -> None:
    signed = kie.signature("kie-test-key", "0123456789abcdef0123456789abcdef", 1760000000)
    assert signed == "L2zBwdY3/gbiCdZnAu/vPlTRsRz0eayRHgtYYNRWBKM="


async def test_a_job_goes_from_waiting_to_success_and_is_told_once() -> None:
    async with world(dialect="kie") as one:
        task_id = await begin(one, duration=120)
        states = []
        for seconds in (0, 12, 23, 115):
            await one.clock.advance(seconds)
            record = (await look(one, task_id))["data"]
            states.append((record["state"], record["resultJson"] is None))
        assert states == [("waiting", True), ("generating", True), ("generating", True), ("success", False)]
        songs = json.loads(record["resultJson"])["data"]
        assert [song["duration"] for song in songs] == [120, 120]
        assert (await one.client.get(songs[0]["audio_url"])).status_code == 200
        assert (record["taskId"], record["failCode"], record["costTime"]) == (task_id, None, 150_000)
        assert json.loads(record["param"])["input"]["style"] == "warm folk"
        (told,) = one.listener.heard
        assert (told["code"], told["data"]["taskId"], told["data"]["state"]) == (200, task_id, "success")
        assert told["data"]["resultJson"] == record["resultJson"]


async def test_a_job_that_fails_says_so_with_code_501_and_its_own() -> None:
    async with world(dialect="kie") as one:
        await one.switch({"fault": "fail", "code": 531})
        task_id = await begin(one)
        await one.clock.advance(150)
        record = (await look(one, task_id))["data"]
        assert (record["state"], record["failCode"], record["resultJson"]) == ("fail", "531", None)
        (told,) = one.listener.heard
        assert (told["code"], told["data"]["failCode"], told["data"]["taskId"]) == (501, "531", task_id)
        assert await one.balance() == 100_000


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (job() | {"callBackUrl": ""}, "Please enter callBackUrl."),
        (job() | {"model": "suno"}, "The model field is not supported"),
        (job() | {"input": None}, "input cannot be null"),
        (job(style=...), "style, lyrics and negativeTags cannot all be empty"),
        (job(customMode=True), "customMode is not a field of input"),
        (job(model="V5"), "model V5 is not supported"),
        (job(custom_mode=False, title=..., prompt="a calm sea", duration=60), "duration is only supported in custom"),
        (job(style="x" * 1001), "style must be at most 1000 characters"),
        ([], "expected a JSON object"),
    ],
)
async def test_a_bad_job_is_422_in_the_body(body: object, text: str) -> None:
    async with world(dialect="kie") as one:
        said = await one.submit(JOBS, body)
        assert (said["code"], said["data"]) == (422, None)
        assert said["msg"].startswith(text)


async def test_the_fields_of_a_job_are_spelt_with_underscores() -> None:
    async with world(dialect="kie") as one:
        assert await begin(one, vocal_gender="f", negative_tags="metal", style_weight=0.6, instrumental=False)
        assert (await one.submit(JOBS, job(style_weight=2)))["code"] == 422


async def test_the_codes_are_kies() -> None:
    async with world(dialect="kie", credits=12.5 + 20 * 12, keys=("any",)) as one:
        assert (await one.submit(JOBS, job(), Authorization="Bearer no"))["code"] == 401
        assert (await look(one, "0" * 32))["code"] == 404
        assert [(await one.submit(JOBS, job()))["code"] for _ in range(21)] == [200] * 20 + [429]
        assert await one.balance() == 12.5
        await one.clock.advance(10)
        assert [(await one.submit(JOBS, job()))["code"] for _ in range(2)] == [200, 402]
        for path in ("generate/credit", "generate/extend"):
            assert (await one.client.get(f"/api/v1/{path}")).json()["code"] == 404


async def test_more_than_three_polls_a_second_of_one_task_are_429() -> None:
    async with world(dialect="kie") as one:
        task_id = await begin(one)
        assert [(await look(one, task_id))["code"] for _ in range(4)] == [200, 200, 200, 429]
        await one.clock.advance(1)
        assert (await look(one, task_id))["code"] == 200


async def test_the_legacy_routes_speak_as_the_sister_does_for_old_models_only() -> None:
    async with world(dialect="kie", hmac_key="kie-test-key") as one:
        task_id = await one.begin(model="V5")
        assert (await one.generate(model="V6"))["code"] == 422
        await one.clock.advance(150)
        assert await one.status(task_id) == "SUCCESS"
        assert one.listener.stages == ["text", "first", "complete"]
        headers = one.listener.requests[0].headers
        timestamp = int(headers["x-webhook-timestamp"])
        assert headers["x-webhook-signature"] == kie.signature("kie-test-key", task_id, timestamp)


@pytest.mark.parametrize("how", ["wrong", "missing", "stale"])
async def test_a_signature_can_be_wrong_missing_or_stale(how: str) -> None:
    async with world(dialect="kie", hmac_key="kie-test-key") as one:
        await one.switch({"fault": "wrong_signature", "how": how})
        task_id = await begin(one)
        await one.clock.advance(150)
        headers = one.listener.requests[0].headers
        if how == "missing":
            assert "x-webhook-signature" not in headers
            return
        timestamp = int(headers["x-webhook-timestamp"])
        good = kie.signature("kie-test-key", task_id, timestamp)
        assert (headers["x-webhook-signature"] == good) == (how == "stale")
        assert (one.clock.wall() - timestamp >= 3600) == (how == "stale")


async def test_nothing_is_signed_without_a_key() -> None:
    async with world(dialect="kie") as one:
        await begin(one)
        await one.clock.advance(150)
        assert not any(name.startswith("x-webhook") for name in one.listener.requests[0].headers)


@pytest.mark.parametrize("how", ["data", "urls", "object", "malformed", "null"])
async def test_result_json_has_several_readings(how: str) -> None:
    async with world(dialect="kie", result_json="urls") as one:
        task_id = await begin(one)
        await one.clock.advance(150)
        assert len(json.loads((await look(one, task_id))["data"]["resultJson"])["resultUrls"]) == 2
        await one.switch({"fault": "result_json", "how": how})
        found = (await look(one, task_id))["data"]["resultJson"]
        if how in ("data", "urls"):
            assert list(json.loads(found)) == [{"data": "data", "urls": "resultUrls"}[how]]
        elif how == "malformed":
            with pytest.raises(ValueError, match="Expecting"):
                json.loads(found)
        else:
            assert found is None if how == "null" else len(found["data"]) == 2


async def test_an_agent_that_is_a_program_is_shown_a_page() -> None:
    async with world(dialect="kie", refuse_bots=True) as one:
        answer = await one.client.post(JOBS, json=job())
        assert (answer.status_code, "1010" in answer.text) == (403, True)
        browser = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
        assert (await one.client.post(JOBS, json=job(), headers=browser)).json()["code"] == 200
        assert (await one.client.post("/api/v1/generate", json=OLD)).status_code == 403
