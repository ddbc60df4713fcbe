"""A submission to the reseller: keys, codes in the body, credits, the quota at the stamp, and the faults of replies."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.unit.stack.suno_rig import LISTENER, OLD, World, world


async def test_an_accepted_call_has_a_task_and_costs_twelve_credits() -> None:
    async with world() as one:
        said = await one.generate()
        assert (said["code"], said["msg"], len(said["data"]["taskId"])) == (200, "success", 32)
        assert await one.balance() == 100_000 - 12
        entry = await one.entry()
        assert (entry["taskId"], entry["charged"], entry["refunded"]) == (said["data"]["taskId"], 12, 0)
        assert (entry["segment"], entry["model"], entry["title"]) == ("seg-1", "V5_5", "Dawn")
        assert (entry["acceptedAt"], entry["stampedAt"]) == (one.clock.wall(), 0.0)


@pytest.mark.parametrize(
    ("change", "code"), [({"callBackUrl": ""}, 400), ({"style": "x" * 1001}, 413), ({"model": "V3_5"}, 400)]
)
async def test_a_bad_call_is_a_code_in_the_body_and_costs_nothing(change: dict[str, object], code: int) -> None:
    async with world() as one:
        said = await one.generate(**change)
        assert (said["code"], said["data"]) == (code, None)
        ledger = await one.ledger()
        assert (ledger["accepted"], ledger["refused"], ledger["credits"]) == ([], {str(code): 1}, 100_000)
        assert [(refusal["code"], refusal["http"]) for refusal in ledger["refusals"]] == [(code, 200)]


@pytest.mark.parametrize("body", ["[]", "no JSON", ""])
async def test_a_body_that_is_no_object_is_400(body: str) -> None:
    async with world() as one:
        assert (await one.client.post("/api/v1/generate", content=body)).json()["code"] == 400


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic any", "Bearer other"])
async def test_nobody_is_let_in_without_a_known_key(header: str) -> None:
    async with world(keys=("mine", "also-mine")) as one:
        for path in ("/api/v1/generate/record-info?taskId=1", "/api/v1/generate/credit"):
            assert (await one.client.get(path, headers={"Authorization": header})).json()["code"] == 401
        assert (await one.submit(body=OLD, Authorization=header))["code"] == 401
        assert (await one.submit(body=OLD | {"callBackUrl": LISTENER}, Authorization="Bearer also-mine"))["code"] == 200


@pytest.mark.parametrize(
    "path",
    [
        "generate/extend",
        "generate/get-timestamped-lyrics",
        "style/generate",
        "generate/sounds",
        "lyrics",
        "wav/generate",
        "get-credits",
        "jobs/createTask",
    ],
)
async def test_what_the_platform_does_not_use_is_404_in_the_body(path: str) -> None:
    async with world() as one:
        assert await one.submit(f"/api/v1/{path}", {}) == {"code": 404, "msg": "Not Found", "data": None}


async def test_the_21st_call_of_ten_seconds_is_430_and_not_counted() -> None:
    async with world() as one:
        assert [(await one.generate())["code"] for _ in range(22)] == [200] * 20 + [430] * 2
        await one.clock.advance(9.99)
        assert (await one.generate())["code"] == 430
        await one.clock.advance(0.01)
        assert [(await one.generate())["code"] for _ in range(21)] == [200] * 20 + [430]
        ledger = await one.ledger()
        assert (len(ledger["accepted"]), ledger["refused"]) == (40, {"430": 4})


async def test_the_quota_counts_the_stamp_in_the_middle_of_the_delay() -> None:
    async with world(reply_delay=(0.8, 0.8)) as one:
        burst = [asyncio.create_task(one.generate()) for _ in range(20)]
        await one.clock.advance(0.8)
        assert [(await call)["code"] for call in burst] == [200] * 20
        assert {entry["stampedAt"] for entry in (await one.ledger())["accepted"]} == {0.4}
        await one.clock.advance(9.19)  # sent at 9.99, stamped at 10.39: 9.99 after the others
        early = asyncio.create_task(one.generate())
        await one.clock.advance(0.02)
        late = asyncio.create_task(one.generate())  # stamped at 10.41
        await one.clock.advance(0.8)
        assert ((await early)["code"], (await late)["code"]) == (430, 200)


async def test_delays_come_from_the_seed() -> None:
    async def replies(seed: int) -> list[float]:
        async with world(reply_delay=(0.1, 0.8), seed=seed) as one:
            calls = [asyncio.create_task(one.generate()) for _ in range(5)]
            await one.clock.advance(1)
            await asyncio.gather(*calls)
            return [entry["stampedAt"] for entry in (await one.ledger())["accepted"]]

    first = await replies(1)
    assert first == await replies(1)
    assert first != await replies(2)
    assert all(0.05 <= at <= 0.4 for at in first)


async def test_each_key_is_an_account_with_a_quota_a_balance_and_tasks_of_its_own() -> None:
    async with world() as one:
        task_id = await one.begin()
        for _ in range(20):
            await one.generate()
        other = {"Authorization": "Bearer other"}
        assert (await one.submit(body=OLD | {"callBackUrl": LISTENER}, **other))["code"] == 200
        found = await one.client.get(f"/api/v1/generate/record-info?taskId={task_id}", headers=other)
        assert found.json()["code"] == 404
        accounts = (await one.ledger())["accounts"]
        assert [account["accepted"] for account in accounts.values()] == [20, 1]
        assert {len(name) for name in accounts} == {8}


async def test_without_credits_it_is_429_and_takes_no_place_in_the_window() -> None:
    async with world(credits=25) as one:
        assert [(await one.generate())["code"] for _ in range(4)] == [200, 200, 429, 429]
        assert await one.balance() == 1
        await one.switch({"fault": "credits", "amount": 1000})
        assert await one.balance() == 1000
        assert [(await one.generate())["code"] for _ in range(19)] == [200] * 18 + [430]


async def test_a_hidden_cap_on_unfinished_tasks_is_430() -> None:
    async with world(max_in_flight=2) as one:
        assert [(await one.generate())["code"] for _ in range(3)] == [200, 200, 430]
        await one.clock.advance(150)
        assert (await one.generate())["code"] == 200


async def test_polls_may_count_in_the_quota() -> None:
    async with world(record_info_counts=True) as one:
        task_id = await one.begin()
        said = [(await one.client.get(f"/api/v1/generate/record-info?taskId={task_id}")).json() for _ in range(20)]
        assert [answer["code"] for answer in said] == [200] * 19 + [430]


# --- faults of replies ---


async def post(one: World) -> httpx.Response:
    return await one.client.post("/api/v1/generate", json=OLD | {"callBackUrl": LISTENER})


@pytest.mark.parametrize("code", [400, 401, 404, 405, 413, 429, 430, 455, 500, 599])
async def test_any_code_can_be_said_in_the_body(code: int) -> None:
    async with world() as one:
        await one.switch({"fault": "code", "code": code, "times": 1})
        answer = await post(one)
        assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (200, code, None)
        assert (await post(one)).json()["code"] == 200
        ledger = await one.ledger()
        assert (ledger["refused"], len(ledger["accepted"])) == ({str(code): 1}, 1)


async def test_a_code_may_come_with_its_http_status_and_a_time_to_wait() -> None:
    async with world() as one:
        await one.switch({"fault": "code", "code": 430, "http": 429, "retry_after": 7, "msg": "slower"})
        answer = await post(one)
        assert (answer.status_code, answer.headers["retry-after"], answer.json()["msg"]) == (429, "7", "slower")


async def test_an_http_error_has_no_envelope() -> None:
    async with world() as one:
        await one.switch({"fault": "http_error", "status": 502}, {"fault": "http_error", "status": 403, "html": True})
        answer = await post(one)
        assert (answer.status_code, "code" in answer.json()) == (502, False)
        assert (await one.ledger())["refused"] == {"http 502": 1}
        await one.switch({"fault": "http_error", "status": 403, "html": True})
        page = await post(one)
        assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "1010" in page.text


async def test_behind_an_http_error_the_task_may_be_accepted_and_charged() -> None:
    async with world() as one:
        await one.switch({"fault": "http_error", "status": 504, "accepted": True})
        assert (await post(one)).status_code == 504
        assert ((await one.entry())["charged"], await one.balance()) == (12, 100_000 - 12)


async def test_a_call_that_hangs_is_not_accepted() -> None:
    async with world() as one:
        await one.switch({"fault": "hang"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await post(one)
        ledger = await one.ledger()
        assert (ledger["accepted"], ledger["unanswered"], ledger["credits"]) == ([], {"hang": 1}, 100_000)


async def test_a_lost_reply_is_accepted_charged_and_called_back() -> None:
    async with world() as one:
        await one.switch({"fault": "reply_lost", "times": 1})
        with pytest.raises(httpx.ReadError):
            await post(one)
        await one.clock.advance(150)
        entry = await one.entry()
        assert (entry["charged"], entry["status"], entry["faults"]) == (12, "SUCCESS", ["reply_lost"])
        assert one.listener.stages == ["text", "first", "complete"]


async def test_a_fault_of_accepted_calls_is_not_spent_on_a_refused_one() -> None:
    async with world(credits=24) as one:
        await one.switch({"fault": "reply_lost", "times": 1})
        assert (await one.generate(style=""))["code"] == 400
        with pytest.raises(httpx.ReadError):
            await post(one)
        await one.switch({"fault": "callback_before_reply", "times": 1})
        assert (await one.generate(callBackUrl=""))["code"] == 400
        assert (await one.generate())["code"] == 200
        assert one.listener.stages == ["text"]
        await one.switch({"fault": "slow_reply", "times": 1})
        assert (await one.generate())["code"] == 429
        (shown,) = (await one.client.get("/_sim/faults")).json()["faults"]
        assert shown["used"] == 0


async def test_a_slow_reply_is_stamped_in_time() -> None:
    async with world(reply_delay=(0.2, 0.2)) as one:
        await one.switch({"fault": "slow_reply", "seconds": 30})
        call = asyncio.create_task(post(one))
        await one.clock.advance(30)
        assert not call.done()
        assert (await one.entry())["stampedAt"] == 0.1
        await one.clock.advance(0.2)
        assert (await call).json()["code"] == 200


@pytest.mark.parametrize("stage", ["text", "first", "complete"])
async def test_a_callback_can_be_answered_before_the_reply_comes(stage: str) -> None:
    async with world(reply_delay=(0.2, 0.2)) as one:
        await one.switch({"fault": "callback_before_reply", "stage": stage})
        call = asyncio.create_task(one.generate())
        await one.clock.advance(0.1)
        assert (one.listener.stages, call.done()) == ([stage], False)
        await one.clock.advance(0.1)
        task_id = (await call)["data"]["taskId"]
        assert one.listener.heard[0]["data"]["task_id"] == task_id
        await one.clock.advance(150)
        stages = ["text", "first", "complete"]
        assert one.listener.stages == stages[stages.index(stage) :]
        assert await one.status(task_id) == "SUCCESS"


async def test_a_fault_can_be_aimed_counted_skipped_and_left_to_chance() -> None:
    async with world(seed=5) as one:

        async def codes(count: int, **changes: Any) -> list[int]:
            await one.clock.advance(10)
            return [(await one.generate(**changes))["code"] for _ in range(count)]

        await one.switch({"fault": "code", "code": 455, "title": "2/3"})
        assert await codes(1, title="Dawn 1/3") + await codes(1, title="Dawn 2/3") == [200, 455]
        await one.switch({"fault": "code", "code": 455, "segment": "seg-1", "skip": 1, "times": 2})
        assert await codes(5) == [200, 455, 455, 200, 200]
        assert await codes(1, callBackUrl="http://listener/?segment=other") == [200]
        await one.switch({"fault": "code", "code": 455, "model": "V6"})
        assert await codes(1) + await codes(1, model="V6") == [200, 455]
        await one.switch({"fault": "code", "code": 455, "probability": 0.3})
        struck = sum([(await codes(10)).count(455) for _ in range(20)])
        assert 40 <= struck <= 80
        (shown,) = (await one.client.get("/_sim/faults")).json()["faults"]
        assert shown["used"] == struck
