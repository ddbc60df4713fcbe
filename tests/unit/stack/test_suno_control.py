"""Who runs the simulator: the switches of faults, the ledger and its file, a new beginning, the page, real sockets."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from stack import cli
from stack.embedded.ports import free_port
from stack.simulators.suno import Settings, serving
from stack.simulators.suno.fault_kinds import KINDS
from tests.stacks import PARCOURS
from tests.unit.stack.suno_rig import LISTENER, OLD, world

README = Path(__file__).parents[3] / "stack/simulators/README.md"


async def test_faults_are_shown_replaced_added_and_cleared() -> None:
    async with world() as one:
        await one.switch({"fault": "stuck"}, {"fault": "code", "code": 455, "times": 2})
        shown = (await one.client.get("/_sim/faults")).json()["faults"]
        assert shown == [{"fault": "stuck", "used": 0}, {"fault": "code", "code": 455, "times": 2, "used": 0}]
        added = await one.client.post("/_sim/faults?add=1", json={"faults": [{"fault": "hang"}]})
        assert [fault["fault"] for fault in added.json()["faults"]] == ["stuck", "code", "hang"]
        await one.switch({"fault": "sensitive"})
        assert [fault["fault"] for fault in (await one.client.get("/_sim/faults")).json()["faults"]] == ["sensitive"]
        assert (await one.client.delete("/_sim/faults")).json() == {"faults": []}


@pytest.mark.parametrize(
    "posted",
    [
        {"faults": [{"fault": "no such thing"}]},
        {"faults": [{"fault": "code"}]},
        {"faults": [{"fault": "code", "code": "455"}]},
        {"faults": [{"fault": "stuck", "at": "complete"}]},
        {"faults": [{"fault": "stuck", "where": "here"}]},
        {"faults": [{"fault": "stuck", "probability": 2}]},
        {"faults": [{"fault": "drop_callback", "stages": ["last"]}]},
        {"faults": [{"fault": "fail", "data": [1]}]},
        {"faults": "all"},
        {"fault": "stuck"},
        [],
    ],
)
async def test_a_fault_that_cannot_be_is_refused_and_changes_nothing(posted: object) -> None:
    async with world() as one:
        await one.switch({"fault": "stuck"})
        answer = await one.client.post("/_sim/faults", json=posted)
        assert (answer.status_code, bool(answer.json()["error"])) == (422, True)
        assert len((await one.client.get("/_sim/faults")).json()["faults"]) == 1


async def test_what_is_shown_can_be_posted_again() -> None:
    async with world() as one:
        await one.switch({"fault": "fail", "code": 531, "data": [], "refund": None, "segment": None})
        shown = (await one.client.get("/_sim/faults")).json()
        assert (await one.client.post("/_sim/faults", json=shown)).json() == shown


def test_the_readme_tells_every_fault_and_every_parameter() -> None:
    text = README.read_text(encoding="utf-8").partition("### Faults")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (?:\w+) \| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    assert set(rows) == set(KINDS)
    for name, kind in KINDS.items():
        assert set(re.findall(r"`(\w+)`", rows[name])) >= set(kind.parameters), name


async def test_a_file_of_faults_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.simulators.suno.faults._LOOK_EVERY", 0.0)
    path = tmp_path / "faults.json"
    path.write_text(json.dumps({"faults": [{"fault": "code", "code": 455}]}))
    async with world(faults=path) as one:
        assert (await one.generate())["code"] == 455
        path.write_text(json.dumps([{"fault": "code", "code": 500, "times": 1}]))
        assert [(await one.generate())["code"] for _ in range(2)] == [500, 200]
        path.write_text("no JSON, and longer than it was")
        assert (await one.generate())["code"] == 200


async def test_a_reset_forgets_everything_and_silences_what_runs() -> None:
    async with world(credits=30) as one:
        await one.switch({"fault": "credits", "amount": 40}, {"fault": "stuck", "probability": 0.0})
        task_id = await one.begin()
        await one.client.post("/_sim/reset")
        await one.clock.advance(150)
        assert one.listener.heard == []
        assert (await one.client.get(f"/api/v1/generate/record-info?taskId={task_id}")).json()["code"] == 404
        ledger = await one.ledger()
        assert (ledger["accepted"], ledger["refused"], ledger["credits"]) == ([], {}, 30)
        assert (await one.client.get("/_sim/faults")).json()["faults"] == []


async def test_every_happening_is_a_line_of_the_ledgers_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    async with world(ledger=path, credits=12) as one:
        await one.switch(
            {"fault": "fail", "code": 531, "at": "complete"}, {"fault": "drop_callback", "stages": ["text"]}
        )
        task_id = await one.begin()
        await one.generate()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["event"] for line in lines] == ["started", "faults", "accepted", "refused"], "flushed at once"
        assert (lines[2]["taskId"], lines[2]["segment"], lines[2]["charged"]) == (task_id, "seg-1", 12)
        await one.clock.advance(35)
        await one.client.get(f"/files/{task_id}/0.mp3")
        await one.clock.advance(115)
        await one.client.post("/_sim/reset")
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()][4:]
    assert events == [
        "status", "dropped", "status", "callback", "download", "status", "refunded", "callback", "reset"
    ]  # fmt: skip
    assert "secret" not in path.read_text()


async def test_the_page_is_told_of_quota_tasks_refusals_and_switches() -> None:
    async with world() as one:
        for _ in range(22):
            await one.generate()
        await one.clock.advance(5)
        await one.switch({"fault": "stuck"})
        state = (await one.client.get("/_sim/state")).json()
        (account,) = state["accounts"]
        assert (account["left"], account["stamps"], account["refusals"]) == (0, [5.0] * 20, [5.0] * 2)
        assert (state["statuses"], state["refused"]) == ({"PENDING": 20}, {"430": 2})
        assert (len(state["tasks"]), state["tasks"][0]["age"]) == (20, 5.0)
        assert set(state["kinds"]) == set(KINDS)
        assert state["faults"][0]["fault"] == "stuck"
        page = await one.client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "://" not in page.text.replace("http://www.w3.org/2000/svg", ""), "nothing from elsewhere"


# --- over real sockets ---


async def test_served_in_this_process_a_dropped_connection_is_a_real_one() -> None:
    settings = Settings(speed=200.0, callbacks="none")
    async with (
        serving(settings) as simulator,
        httpx.AsyncClient(
            base_url=simulator.origin, headers={"Authorization": "Bearer any"}, trust_env=False
        ) as client,
    ):

        async def post() -> httpx.Response:
            return await client.post("/api/v1/generate", json=OLD | {"callBackUrl": LISTENER, "duration": 60})

        simulator.faults.replace([{"fault": "reply_lost", "times": 1}])
        with pytest.raises(httpx.RemoteProtocolError):
            await post()
        task_id = (await post()).json()["data"]["taskId"]
        assert [entry["faults"] for entry in simulator.ledger()["accepted"]] == [["reply_lost"], []]
        async with asyncio.timeout(10):
            while simulator.ledger()["accepted"][1]["status"] != "SUCCESS":
                await asyncio.sleep(0.02)
        simulator.faults.replace([{"fault": "file_truncated", "how": "lost", "times": 1}, {"fault": "hang"}])
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/files/{task_id}/0.mp3")
        record = (await client.get("/api/v1/generate/record-info", params={"taskId": task_id})).json()["data"]
        assert (await client.get(record["response"]["sunoData"][1]["audioUrl"])).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/api/v1/generate", json=OLD, timeout=0.2)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "no address", "http://127.0.0.1:nine/", "ftp://127.0.0.1/"])
async def test_an_address_that_does_not_answer_stops_no_song(url: str) -> None:
    async with serving(Settings(speed=2000.0)) as simulator:
        headers = {"Authorization": "Bearer any"}
        body = OLD | {"callBackUrl": url}
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{simulator.origin}/api/v1/generate", json=body, headers=headers)
        async with asyncio.timeout(10):
            while len(simulator.ledger()["accepted"][0]["callbacks"]) < 12:
                await asyncio.sleep(0.01)
        (entry,) = simulator.ledger()["accepted"]
        assert ({call["status"] for call in entry["callbacks"]}, entry["status"]) == ({0}, "SUCCESS")


def test_the_command_plays_a_file_of_faults_and_leaves_its_ledger_when_it_is_killed(tmp_path: Path) -> None:
    faults, ledger, audio = tmp_path / "faults.json", tmp_path / "ledger.jsonl", tmp_path / "a.mp3"
    faults.write_text(json.dumps({"faults": [{"fault": "code", "code": 455, "times": 1}]}))
    audio.write_bytes(b"ID3 not really music")
    origin = f"http://127.0.0.1:{(port := free_port())}"
    options = ["--faults", str(faults), "--ledger", str(ledger), "--audio", str(audio), "--speed", "50"]
    options += ["--window", "fixed", "--reply-delay", "0.1-0.8", "--credits", "500", "--seed", "7", "--dialect", "kie"]
    command = [str(PARCOURS), "simulate", "suno", "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready {origin}\n"
        said = [generated(origin) for _ in range(2)]
        os.kill(process.pid, signal.SIGKILL)
    assert [answer["code"] for answer in said] == [455, 200]
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["event"] for line in lines][:3] == ["started", "refused", "accepted"]
    assert lines[2]["taskId"] == said[1]["data"]["taskId"]
    assert abs(lines[2]["stampedAt"] - time.monotonic()) < 60


def generated(origin: str) -> dict[str, Any]:
    body = OLD | {"callBackUrl": "http://127.0.0.1:9/"}
    headers = {"Authorization": "Bearer any"}
    with httpx.Client(trust_env=False) as client:
        said: dict[str, Any] = client.post(f"{origin}/api/v1/generate", json=body, headers=headers).json()
    return said


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (("--reply-delay", "0.8-0.1"), "expected A-B or one number"),
        (("--reply-delay", "soon"), "expected numbers"),
        (("--stages", "12,35"), "expected three rising numbers"),
        (("--stages", "35,12,150"), "expected three rising numbers"),
    ],
)
def test_an_option_that_cannot_be_is_told_in_a_line(option: tuple[str, str], text: str) -> None:
    done = CliRunner().invoke(cli.app, ["simulate", "suno", *option])
    assert done.exit_code == 2
    assert text in done.stderr
