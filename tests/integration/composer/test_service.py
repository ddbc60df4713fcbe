"""The service as its callers see it: a real process, a real listener, the reseller's dialect on the wire."""

import asyncio
import hashlib
import itertools
import random
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack.embedded.ports import free_port
from tests.integration.composer.running import AUTHORISED, KEY, Composer, Listener, decoded_samples, started
from tests.unit.composer.journeys import example_a


async def test_a_job_is_told_in_three_stages_and_its_files_have_the_exact_length(
    composer: Composer, listener: Listener
) -> None:
    task_id = await composer.task(f"{listener.url}?segment=a&token=1")
    assert len(task_id) == 32
    complete = await listener.wait_for("/callback?segment=a&token=1", "complete")
    assert listener.stages("/callback?segment=a&token=1") == ["text", "first", "complete"]
    first = await listener.wait_for("/callback?segment=a&token=1", "first")
    one, two = first["data"]["data"]
    assert one["stream_audio_url"].endswith(f"/files/{task_id}/0.stream.mp3")
    assert two["audio_url"] == ""
    assert "duration" not in two
    one, two = complete["data"]["data"]
    assert (complete["code"], complete["data"]["task_id"]) == (200, task_id)
    assert one["duration"] == two["duration"] == 20.0
    assert one["ai"] == "procedural"
    assert isinstance(one["createTime"], int)
    for address in (one["audio_url"], one["stream_audio_url"], two["audio_url"]):
        mp3 = (await composer.client.get(address)).content
        assert await decoded_samples(mp3) == 20 * 44_100


async def test_two_takes_of_one_task_differ_and_two_tasks_of_one_plan_do_not(
    composer: Composer, listener: Listener
) -> None:
    files = []
    for name in ("b", "c"):
        task_id = await composer.task(f"{listener.url}?segment={name}")
        files.append([(await composer.client.get(f"/files/{task_id}/{take}.mp3")).content for take in (0, 1)])
    assert files[0] == files[1]
    assert files[0][0] != files[0][1]


async def test_record_info_knows_the_task_in_camel_case(composer: Composer, listener: Listener) -> None:
    task_id = await composer.task(f"{listener.url}?segment=d&token=hidden")
    await listener.wait_for("/callback?segment=d&token=hidden", "complete")
    record = await composer.record(task_id)
    assert (record["status"], record["taskId"], record["errorCode"]) == ("SUCCESS", task_id, None)
    assert [set(item) >= {"audioUrl", "streamAudioUrl", "duration"} for item in record["response"]["sunoData"]] == [
        True
    ] * 2
    assert isinstance(record["param"], str)
    assert "hidden" not in record["param"]


async def test_a_task_of_another_process_has_failed(composer: Composer) -> None:
    record = await composer.record("0" * 32)
    assert (record["status"], record["response"]["sunoData"]) == ("GENERATE_AUDIO_FAILED", [])
    assert (await composer.client.get(f"/files/{'0' * 32}/0.mp3")).status_code == 404


async def test_after_a_restart_a_task_is_unknown_and_its_order_gives_the_same_bytes(
    composer: Composer, listener: Listener, tmp_path: Path
) -> None:
    first = await started(tmp_path, 1)
    task_id = await first.task(f"{listener.url}?segment=e")
    before = (await first.client.get(f"/files/{task_id}/0.mp3")).content
    await first.client.aclose()
    workers = first.workers()
    first.process.kill()
    await first.process.wait()
    assert (await composer.record(task_id))["status"] == "GENERATE_AUDIO_FAILED"
    again = await composer.task(f"{listener.url}?segment=e")
    assert (await composer.client.get(f"/files/{again}/0.mp3")).content == before
    gone, alive = await asyncio.to_thread(psutil.wait_procs, workers, 10)
    assert not alive
    assert len(gone) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"model": None}, 400), ({"callBackUrl": None}, 400), ({"style": "x" * 2000}, 413), ({"duration": 5}, 400)],
)
async def test_refusals_are_codes_inside_http_200(
    composer: Composer, listener: Listener, changes: dict[str, Any], code: int
) -> None:
    answer = await composer.generate(listener.url, **changes)
    assert (answer["code"], answer["data"]) == (code, None)


async def test_a_wrong_key_is_code_401_and_nothing_is_started(composer: Composer) -> None:
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": KEY}):
        for method, address in (("POST", "/api/v1/generate"), ("GET", "/api/v1/generate/credit")):
            answer = await composer.client.request(method, address, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (200, 401)


async def test_credit_is_a_bare_number_and_malformed_json_is_code_400(composer: Composer) -> None:
    credit = await composer.client.get("/api/v1/generate/credit", headers=AUTHORISED)
    assert isinstance(credit.json()["data"], int)
    broken = await composer.client.post("/api/v1/generate", content=b"{", headers=AUTHORISED)
    assert (broken.status_code, broken.json()["code"]) == (200, 400)


async def test_bytes_fetched_in_random_ranges_are_the_file(composer: Composer, listener: Listener) -> None:
    task_id = await composer.task(f"{listener.url}?segment=f")
    address = f"/files/{task_id}/0.mp3"
    whole = await composer.client.get(address)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    cuts = sorted({0, len(whole.content), *random.Random(4).sample(range(1, len(whole.content)), 6)})
    parts = b""
    for start, end in itertools.pairwise(cuts):
        part = await composer.client.get(address, headers={"Range": f"bytes={start}-{end - 1}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole.content)}"
        parts += part.content
    assert parts == whole.content
    head = await composer.client.head(address)
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(whole.content))
    beyond = await composer.client.get(address, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416


async def test_a_preview_pre_empts_running_finals_and_is_readable_while_it_grows(
    composer: Composer, listener: Listener
) -> None:
    busy = [await composer.task(f"{listener.url}?segment=g{index}", x_parcours=example_a(index)) for index in (0, 1)]
    for index in range(2):
        await listener.wait_for(f"/callback?segment=g{index}", "first")
    task_id = await composer.task(f"{listener.url}?segment=h", duration=61)
    async with composer.client.stream("GET", f"/files/{task_id}/0.stream.mp3") as stream:
        heard = b""
        async for chunk in stream.aiter_bytes():
            heard += chunk
            if len(heard) == len(chunk):  # the first of it, while both workers are still at what came before
                assert "SUCCESS" not in [(await composer.record(task))["status"] for task in busy]
    assert await decoded_samples(heard) == 60 * 44_100
    await listener.wait_for("/callback?segment=h", "complete")


async def test_a_continuation_has_no_preview_and_the_rest_of_the_file(composer: Composer, listener: Listener) -> None:
    numbers = example_a(0, from_seconds=115)
    task_id = await composer.task(f"{listener.url}?segment=i", x_parcours=numbers)
    complete = await listener.wait_for("/callback?segment=i", "complete")
    assert listener.stages("/callback?segment=i") == ["complete"]
    assert complete["data"]["data"][0]["duration"] == 20.0
    assert await decoded_samples((await composer.client.get(f"/files/{task_id}/0.mp3")).content) == 20 * 44_100


async def test_a_deaf_listener_is_told_again(composer: Composer, listener: Listener) -> None:
    listener.deaf_for = 2
    await composer.task(f"{listener.url}?segment=j")
    await listener.wait_for("/callback?segment=j", "text")
    await listener.wait_for("/callback?segment=j", "complete")
    assert sorted(listener.stages("/callback?segment=j")) == ["complete", "first", "text"]


async def test_audio_nobody_was_told_about_is_a_callback_exception_with_the_songs(composer: Composer) -> None:
    task_id = await composer.task(f"http://127.0.0.1:{free_port()}/nobody")
    async with asyncio.timeout(60):
        while (record := await composer.record(task_id))["status"] != "CALLBACK_EXCEPTION":
            await asyncio.sleep(0.05)
    assert len(record["response"]["sunoData"]) == 2
    assert (await composer.client.get(record["response"]["sunoData"][0]["audioUrl"])).status_code == 200


async def test_a_killed_worker_is_replaced_and_its_file_still_comes(composer: Composer, listener: Listener) -> None:
    task_id = await composer.task(f"{listener.url}?segment=k", x_parcours=example_a(1))
    await listener.wait_for("/callback?segment=k", "first")
    for worker in composer.workers():
        worker.kill()
    complete = await listener.wait_for("/callback?segment=k", "complete")
    assert complete["code"] == 200
    assert await decoded_samples((await composer.client.get(f"/files/{task_id}/0.mp3")).content) == 125 * 44_100
    assert len(composer.workers()) == 2


async def test_jobs_beyond_the_bound_are_throttled(composer: Composer, listener: Listener) -> None:
    codes = []
    for number in range(9):
        answer = await composer.generate(f"{listener.url}?segment=m{number}", duration=40)
        codes.append(answer["code"])
    assert set(codes) == {200, 430}
    assert codes[:4] == [200] * 4
    for number, code in enumerate(codes):
        if code == 200:
            await listener.wait_for(f"/callback?segment=m{number}", "complete")


async def test_a_stop_ends_waiting_downloads_at_once_and_leaves_nothing(listener: Listener, tmp_path: Path) -> None:
    stopping = await started(tmp_path, 1)
    workers = stopping.workers()
    task_id = await stopping.task(f"{listener.url}?segment=z", x_parcours=example_a(3))
    waiting = asyncio.create_task(stopping.client.get(f"/files/{task_id}/1.mp3"))
    await listener.wait_for("/callback?segment=z", "first")
    began = time.monotonic()
    stopping.process.send_signal(signal.SIGTERM)
    assert await stopping.process.wait() == 0
    assert time.monotonic() - began < 5
    assert (await waiting).status_code == 500
    await stopping.client.aclose()
    assert list(tmp_path.iterdir()) == []
    assert not any(worker.is_running() for worker in workers)
