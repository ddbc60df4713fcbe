"""The Suno reseller's stand-in speaks its dialect: required fields, codes in the body, stages, callbacks, credits."""

import asyncio
import collections
import http.server
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from stack.simulators.suno import Simulator, make_app

SPEED = 200.0  # a song in 0.75 s
AUDIO = b"ID3 not really music"
NOBODY = "http://127.0.0.1:9/callback"


@dataclass
class Listener:
    """Answers callbacks with the statuses it was given, then with 200, and keeps their bodies."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    own = Listener()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            own.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(own.statuses.pop(0) if own.statuses else 200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    own.url = f"http://127.0.0.1:{server.server_address[1]}/callback?segment=1&token=2"
    yield own
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Reseller:
    """The stand-in and a client of it."""

    simulator: Simulator
    client: httpx.AsyncClient

    async def generate(self, **changes: object) -> dict[str, Any]:
        body = {"customMode": True, "instrumental": True, "model": "V5_5", "callBackUrl": NOBODY, "style": "pads"}
        answer = await self.client.post("/api/v1/generate", json=body | changes)
        assert answer.status_code == 200, "errors of the reseller come in the body"
        said: dict[str, Any] = answer.json()
        return said

    async def record(self, task_id: str) -> dict[str, Any]:
        answer = await self.client.get("/api/v1/generate/record-info", params={"taskId": task_id})
        said: dict[str, Any] = answer.json()
        return said

    async def ledger(self) -> dict[str, Any]:
        said: dict[str, Any] = (await self.client.get("/_sim/ledger")).json()
        return said


async def make(tmp_path: Path, callbacks: Literal["all", "none"]) -> AsyncIterator[Reseller]:
    audio = tmp_path / "a.mp3"
    audio.write_bytes(AUDIO)
    simulator = Simulator(audio, 361.0, callbacks, SPEED, "http://reseller")
    app = make_app(simulator)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": "Bearer any"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://reseller", headers=headers) as client,
    ):
        yield Reseller(simulator, client)


@pytest.fixture
async def reseller(tmp_path: Path) -> AsyncIterator[Reseller]:
    async for one in make(tmp_path, "all"):
        yield one


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[Reseller]:
    async for one in make(tmp_path, "none"):
        yield one


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.01)


async def test_an_accepted_call_has_a_task_and_costs_twelve_credits(silent: Reseller) -> None:
    before = (await silent.client.get("/api/v1/generate/credit")).json()
    said = await silent.generate()
    assert (said["code"], said["msg"]) == (200, "success")
    assert len(said["data"]["taskId"]) == 32
    after = (await silent.client.get("/api/v1/generate/credit")).json()
    assert before["data"] - after["data"] == 12
    (accepted,) = (await silent.ledger())["accepted"]
    assert accepted["taskId"] == said["data"]["taskId"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"callBackUrl": ""}, "Please enter callBackUrl."),
        ({"customMode": None}, "customMode cannot be null"),
        ({"instrumental": None}, "instrumental cannot be null"),
        ({"model": None}, "model cannot be null"),
        ({"style": ""}, "style cannot be null"),
    ],
)
async def test_a_missing_field_is_400_in_the_body_and_costs_nothing(
    silent: Reseller, change: dict[str, object], text: str
) -> None:
    said = await silent.generate(**change)
    assert said == {"code": 400, "msg": text, "data": None}
    ledger = await silent.ledger()
    assert (ledger["accepted"], ledger["refused"], ledger["credits"]) == ([], {"400": 1}, 100_000)


async def test_a_flag_that_is_false_is_not_missing(silent: Reseller) -> None:
    assert (await silent.generate(customMode=False, instrumental=False))["code"] == 200


@pytest.mark.parametrize("body", ["[]", "no JSON", ""])
async def test_a_body_that_is_no_object_is_400(silent: Reseller, body: str) -> None:
    answer = await silent.client.post("/api/v1/generate", content=body)
    assert answer.json()["code"] == 400


async def test_nobody_is_let_in_without_a_key(silent: Reseller) -> None:
    answer = await silent.client.post("/api/v1/generate", json={}, headers={"Authorization": ""})
    assert answer.json()["code"] == 401


async def test_the_21st_call_of_ten_seconds_is_430_and_not_counted(silent: Reseller) -> None:
    assert [(await silent.generate())["code"] for _ in range(22)] == [200] * 20 + [430] * 2
    ledger = await silent.ledger()
    assert (len(ledger["accepted"]), ledger["refused"]) == (20, {"430": 2})
    ten_seconds_ago = [stamp - 10.0 for stamp in silent.simulator.stamps]
    silent.simulator.stamps = collections.deque(ten_seconds_ago)
    assert (await silent.generate())["code"] == 200


async def test_without_credits_it_is_429(silent: Reseller) -> None:
    silent.simulator.credits = 11
    said = await silent.generate()
    assert (said["code"], said["data"]) == (429, None)


async def test_record_info_goes_through_the_stages_in_camel_case(silent: Reseller) -> None:
    task_id = (await silent.generate(title="Dawn"))["data"]["taskId"]
    task = silent.simulator.tasks[task_id]
    seen: dict[str, list[dict[str, Any]]] = {}
    async with asyncio.timeout(20):
        while task.status not in seen:
            said = await silent.record(task_id)
            assert (said["code"], said["data"]["taskId"]) == (200, task_id)
            seen[said["data"]["status"]] = said["data"]["response"]["sunoData"]
            shown = task.status
            if shown != "SUCCESS":
                await until(lambda shown=shown: task.status != shown)  # type: ignore[misc]
    assert list(seen) == ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]
    assert seen["PENDING"] == seen["TEXT_SUCCESS"] == []
    first, second = seen["FIRST_SUCCESS"]
    assert first["audioUrl"].endswith(".mp3")
    assert (second["audioUrl"], "duration" in second) == ("", False)
    assert second["streamAudioUrl"]
    assert [item["duration"] for item in seen["SUCCESS"]] == [361.0, 361.0]
    assert {"id", "modelName", "title", "tags", "createTime", "imageUrl", "prompt"} <= set(first)
    assert task.callbacks == [], "it was told to keep silent"


async def test_an_unknown_task_is_404_in_the_body(silent: Reseller) -> None:
    assert (await silent.record("0" * 32))["code"] == 404


async def test_callbacks_come_as_text_first_complete_in_snake_case(reseller: Reseller, listener: Listener) -> None:
    task_id = (await reseller.generate(callBackUrl=listener.url))["data"]["taskId"]
    await until(lambda: len(listener.heard) == 3)
    assert [body["data"]["callbackType"] for body in listener.heard] == ["text", "first", "complete"]
    assert {(body["code"], body["data"]["task_id"]) for body in listener.heard} == {(200, task_id)}
    text, first, complete = (body["data"]["data"] for body in listener.heard)
    assert text == []
    assert first[0]["audio_url"].endswith(".mp3")
    assert (first[1]["audio_url"], "duration" in first[1]) == ("", False)
    assert [item["duration"] for item in complete] == [361.0, 361.0]
    assert isinstance(complete[0]["createTime"], int)


async def test_a_refused_callback_is_repeated_three_times_then_given_up(reseller: Reseller, listener: Listener) -> None:
    listener.statuses = [503, 503, 200, 500, 500, 500, 500]
    await reseller.generate(callBackUrl=listener.url)
    await until(lambda: len(listener.heard) == 8)
    kinds = [body["data"]["callbackType"] for body in listener.heard]
    assert kinds == ["text"] * 3 + ["first"] * 4 + ["complete"]
    (accepted,) = (await reseller.ledger())["accepted"]
    assert [call["status"] for call in accepted["callbacks"]][:7] == [503, 503, 200, 500, 500, 500, 500]


@pytest.mark.parametrize("url", [NOBODY, "no address", "http://127.0.0.1:nine/", "ftp://127.0.0.1/"])
async def test_an_address_that_does_not_answer_stops_no_song(reseller: Reseller, url: str) -> None:
    task_id = (await reseller.generate(callBackUrl=url))["data"]["taskId"]
    await until(lambda: reseller.simulator.tasks[task_id].status == "SUCCESS")
    assert {call["status"] for call in reseller.simulator.tasks[task_id].callbacks} == {0}


async def test_every_address_it_names_serves_the_file(silent: Reseller) -> None:
    task_id = (await silent.generate())["data"]["taskId"]
    await until(lambda: silent.simulator.tasks[task_id].status == "SUCCESS")
    for item in (await silent.record(task_id))["data"]["response"]["sunoData"]:
        for name in ("audioUrl", "streamAudioUrl"):
            answer = await silent.client.get(item[name])
            assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
            assert answer.content == AUDIO
