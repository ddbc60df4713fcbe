"""The life of a task as record-info and callbacks tell it, in order and with every fault of a stage or a delivery."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.unit.stack.suno_rig import LISTENER, world

TERMINAL = 150.0


async def test_record_info_goes_through_the_stages_in_camel_case() -> None:
    async with world() as one:
        task_id = await one.begin(duration=60)
        seen: list[tuple[str, list[dict[str, Any]]]] = []
        for seconds in (11.9, 0.1, 22.9, 0.1, 114.9, 0.1):
            await one.clock.advance(seconds)
            record = await one.record(task_id)
            seen.append((record["status"], record["response"]["sunoData"]))
        statuses = ["PENDING", "TEXT_SUCCESS", "TEXT_SUCCESS", "FIRST_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]
        assert [status for status, _ in seen] == statuses
        assert [len(items) for _, items in seen] == [0, 0, 0, 2, 2, 2]
        first, second = seen[3][1]
        assert first["audioUrl"].startswith("http://reseller/files/")
        assert (first["duration"], second["audioUrl"], "duration" in second) == (60, "", False)
        assert second["streamAudioUrl"]
        assert [item["duration"] for item in seen[-1][1]] == [60, 60]
        assert {"id", "modelName", "sourceAudioUrl", "title", "tags", "createTime", "imageUrl", "prompt"} <= set(first)
        assert record["errorCode"] is None
        assert json.loads(record["param"])["model"] == "V5_5"
        assert (await one.entry())["polls"] == 6


async def test_an_unknown_task_is_404_in_the_body() -> None:
    async with world() as one:
        for path in ("?taskId=" + "0" * 32, ""):
            said = (await one.client.get(f"/api/v1/generate/record-info{path}")).json()
            assert (said["code"], said["data"]) == (404, None)


async def test_callbacks_come_as_text_first_complete_in_snake_case() -> None:
    async with world() as one:
        task_id = await one.begin(duration=60)
        await one.clock.advance(TERMINAL)
        assert one.listener.stages == ["text", "first", "complete"]
        assert {(body["code"], body["data"]["task_id"]) for body in one.listener.heard} == {(200, task_id)}
        text, first, complete = (body["data"]["data"] for body in one.listener.heard)
        assert text == []
        assert first[0]["audio_url"].endswith(".mp3")
        assert (first[1]["audio_url"], "duration" in first[1]) == ("", False)
        assert first[1]["stream_audio_url"]
        assert [item["duration"] for item in complete] == [60, 60]
        assert complete[0]["id"] != complete[1]["id"]
        assert isinstance(complete[0]["createTime"], int)
        assert {str(request.url) for request in one.listener.requests} == {LISTENER}


async def test_a_silent_reseller_tells_record_info_alone() -> None:
    async with world(callbacks="none") as one:
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        assert (one.listener.heard, await one.status(task_id)) == ([], "SUCCESS")


async def test_a_refused_callback_is_repeated_three_times_then_given_up() -> None:
    async with world() as one:
        one.listener.statuses = [503, 0, 200, 500, 301, 404, 500]
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        assert one.listener.stages == ["text"] * 3 + ["first"] * 4 + ["complete"]
        calls = (await one.entry())["callbacks"]
        assert [call["status"] for call in calls] == [503, 0, 200, 500, 301, 404, 500, 200]
        moments = [round(call["at"] - one.clock.wall() + TERMINAL, 3) for call in calls]
        assert moments == [12, 13, 16, 35, 36, 39, 48, 150]
        assert await one.status(task_id) == "SUCCESS", "their record does not care who listens"


async def test_a_callback_that_is_not_answered_in_time_has_failed() -> None:
    async with world(answer_seconds=0.02, retries=()) as one:
        answered = one.listener.handle_async_request

        async def slow(request: Any) -> Any:
            await asyncio.sleep(10)
            return await answered(request)

        one.listener.handle_async_request = slow  # type: ignore[method-assign]
        await one.begin()
        await one.clock.advance(12)
        async with asyncio.timeout(5):
            while not (await one.entry())["callbacks"]:
                await asyncio.sleep(0.01)
        assert [call["status"] for call in (await one.entry())["callbacks"]] == [0]


async def test_jitter_moves_the_stages_of_each_task_from_the_seed() -> None:
    async def ends(seed: int) -> list[float]:
        async with world(jitter=0.2, seed=seed) as one:
            for _ in range(5):
                await one.begin()
            return [task.stages[2] for task in one.reseller.tasks.values()]

    first = await ends(1)
    assert first == await ends(1)
    assert len(set(first)) == 5
    assert all(120 <= at <= 180 for at in first)


# --- faults of stages ---


@pytest.mark.parametrize(
    ("at", "status", "heard"),
    [
        ("pending", "PENDING", []),
        ("text", "TEXT_SUCCESS", ["text"]),
        ("first", "FIRST_SUCCESS", ["text", "first"]),
    ],
)
async def test_a_task_can_be_stuck(at: str, status: str, heard: list[str]) -> None:
    async with world() as one:
        await one.switch({"fault": "stuck", "at": at})
        task_id = await one.begin()
        await one.clock.advance(10_000)
        assert (await one.status(task_id), one.listener.stages) == (status, heard)
        assert (await one.ledger())["accounts"][(await one.entry())["account"]]["in_flight"] == 1


async def test_stages_can_be_left_out() -> None:
    async with world() as one:
        await one.switch({"fault": "skip_stage"})
        task_id = await one.begin()
        await one.clock.advance(149)
        assert await one.status(task_id) == "PENDING"
        await one.clock.advance(1)
        assert (await one.status(task_id), one.listener.stages) == ("SUCCESS", ["complete"])


@pytest.mark.parametrize("data", [None, []])
@pytest.mark.parametrize(("code", "back"), [(501, 0), (531, 12), (400, 0), (408, 0), (413, 0), (429, 0), (451, 0)])
async def test_a_failure_says_its_code_and_only_531_gives_the_credits_back(code: int, back: int, data: object) -> None:
    async with world() as one:
        await one.switch({"fault": "fail", "code": code, "data": data})
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        assert one.listener.stages == ["text", "error"]
        error = one.listener.heard[1]
        assert (error["code"], error["data"]["data"], error["data"]["task_id"]) == (code, data, task_id)
        record = await one.record(task_id)
        assert (record["status"], record["errorCode"]) == ("GENERATE_AUDIO_FAILED", code)
        assert record["response"]["sunoData"] == []
        assert (await one.entry())["refunded"] == back
        assert await one.balance() == 100_000 - 12 + back


async def test_a_failure_can_come_at_any_stage_with_any_status() -> None:
    async with world() as one:
        await one.switch(
            {"fault": "fail", "at": "complete", "status": "CREATE_TASK_FAILED", "refund": True},
            {"fault": "type_failed"},
        )
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        assert one.listener.stages == ["text", "first", "failed"]
        assert (await one.status(task_id), await one.balance()) == ("CREATE_TASK_FAILED", 100_000)


@pytest.mark.parametrize(
    ("fault", "status", "seconds", "code"),
    [("sensitive", "SENSITIVE_WORD_ERROR", 12, 400), ("create_failed", "CREATE_TASK_FAILED", 1, 500)],
)
async def test_a_task_can_end_before_it_began(fault: str, status: str, seconds: float, code: int) -> None:
    async with world() as one:
        await one.switch({"fault": fault})
        task_id = await one.begin()
        await one.clock.advance(seconds)
        assert (await one.status(task_id), one.listener.stages) == (status, ["error"])
        assert one.listener.heard[0]["code"] == code


@pytest.mark.parametrize(("audio", "items"), [(True, 2), (False, 0)])
async def test_their_delivery_can_fail_with_the_audio_present_or_not(audio: bool, items: int) -> None:  # noqa: FBT001
    async with world() as one:
        await one.switch({"fault": "callback_exception", "audio": audio})
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        record = await one.record(task_id)
        assert (record["status"], len(record["response"]["sunoData"])) == ("CALLBACK_EXCEPTION", items)
        assert one.listener.stages == ["text", "first"]


async def test_callbacks_can_come_in_another_order() -> None:
    async with world() as one:
        await one.switch({"fault": "reorder_callbacks"})
        await one.begin()
        await one.clock.advance(149)
        assert one.listener.heard == []
        await one.clock.advance(1)
        assert one.listener.stages == ["complete", "first", "text"]
        assert one.listener.heard[1]["data"]["data"][1]["audio_url"] == "", "as it was when it was true"


async def test_the_files_can_have_another_length() -> None:
    async with world() as one:
        await one.switch({"fault": "wrong_length", "factor": 0.25})
        task_id = await one.begin(duration=200)
        await one.clock.advance(TERMINAL)
        assert [item["duration"] for item in (await one.record(task_id))["response"]["sunoData"]] == [50, 50]


# --- faults of delivery ---


async def test_callbacks_can_be_dropped_all_or_some_or_by_chance() -> None:
    async with world(seed=3) as one:
        await one.switch({"fault": "drop_callback", "stages": ["first", "complete"]})
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        assert (one.listener.stages, await one.status(task_id)) == (["text"], "SUCCESS")
        assert (await one.entry())["dropped"] == ["first", "complete"]
        await one.switch({"fault": "drop_callback", "probability": 0.3})
        for _ in range(100):
            await one.begin()
            await one.clock.advance(TERMINAL)
        dropped = sum(len(entry["dropped"]) for entry in (await one.ledger())["accepted"][1:])
        assert 70 <= dropped <= 110
        assert len(one.listener.heard) == 1 + 300 - dropped


async def test_a_callback_can_come_more_than_once_and_each_on_its_own_is_repeated() -> None:
    async with world() as one:
        await one.switch({"fault": "duplicate_callback", "stages": ["first"], "count": 3})
        one.listener.statuses = [200, 200, 500, 200, 200]
        await one.begin()
        await one.clock.advance(TERMINAL)
        assert one.listener.stages == ["text"] + ["first"] * 4 + ["complete"]


async def test_a_callback_can_come_late_and_overtaken() -> None:
    async with world() as one:
        await one.switch({"fault": "late_callback", "stages": ["first"], "seconds": 600})
        await one.begin()
        await one.clock.advance(634)
        assert one.listener.stages == ["text", "complete"]
        await one.clock.advance(1)
        assert one.listener.stages == ["text", "complete", "first"]


async def test_the_time_of_creation_can_be_a_text() -> None:
    async with world() as one:
        await one.switch({"fault": "create_time_text"})
        task_id = await one.begin()
        await one.clock.advance(TERMINAL)
        times = [item["createTime"] for body in one.listener.heard for item in body["data"]["data"]]
        times.append((await one.record(task_id))["response"]["sunoData"][0]["createTime"])
        assert len(times) == 5
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time) for time in times)


async def test_the_text_can_carry_items_with_streams_as_seen_in_the_wild() -> None:
    async with world() as one:
        await one.switch({"fault": "text_items"})
        task_id = await one.begin()
        await one.clock.advance(12)
        items = one.listener.heard[0]["data"]["data"]
        assert [(item["audio_url"], item["stream_audio_url"] != "") for item in items] == [("", True)] * 2
        assert len((await one.record(task_id))["response"]["sunoData"]) == 2


@pytest.mark.parametrize(
    ("fault", "status", "code"), [({"status": 502}, 502, None), ({"status": 200, "code": 500}, 200, 500)]
)
async def test_record_info_can_fail(fault: dict[str, object], status: int, code: int | None) -> None:
    async with world() as one:
        task_id = await one.begin()
        await one.switch({"fault": "poll_error", "times": 1} | fault)
        answer = await one.client.get(f"/api/v1/generate/record-info?taskId={task_id}")
        assert (answer.status_code, answer.json().get("code")) == (status, code)
        assert await one.status(task_id) == "PENDING"
