"""Owns telling the caller: one webhook a stage, its retries, and the faults of delivery. The token stays in the URL."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson

from stack.simulators.suno import kie, wire
from stack.simulators.suno.clock import Clock
from stack.simulators.suno.faults import Fault, FaultBook
from stack.simulators.suno.ledger import Ledger
from stack.simulators.suno.settings import Settings
from stack.simulators.suno.stages import Plan, Step
from stack.simulators.suno.tasks import Task

STALE_SECONDS: Final = 3600
AT_ONCE: Final = 64  # calls on their way; the pool's own queue costs the square of its length


@dataclass(frozen=True, slots=True)
class Letter:
    """One webhook of a task, as it was when its stage was reached."""

    task: Task
    stage: str
    body: dict[str, Any]
    faults: dict[str, Fault]


@dataclass
class Courier:
    """Delivers letters: each on its own, or held until the end and sent in another order."""

    settings: Settings
    clock: Clock
    ledger: Ledger
    faults: FaultBook
    origin: Callable[[Task], str]
    http: httpx.AsyncClient
    held: dict[str, list[Letter]] = field(default_factory=dict)
    orders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    on_the_way: set[asyncio.Task[None]] = field(default_factory=set)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    told: dict[str, asyncio.Event] = field(default_factory=dict)  # who waits for a task's first letter

    def begin(self, task: Task, plan: Plan) -> None:
        if plan.order is not None:
            self.orders[task.task_id] = plan.order

    def tell(self, task: Task, step: Step) -> None:
        """Write the letter of a stage now; it goes its way alone."""
        if self.settings.callbacks == "none" or step.stage is None:
            return
        if task.product == "jobs" and not task.done:
            return
        letter = self._letter(task, step)
        order = self.orders.get(task.task_id)
        if order is None:
            self._send_off([letter])
            return
        self.held.setdefault(task.task_id, []).append(letter)
        if task.done:
            letters = self.held.pop(task.task_id)
            self._send_off(
                sorted(letters, key=lambda one: order.index(one.stage) if one.stage in order else len(order))
            )

    async def first_letter(self, task: Task) -> None:
        """Wait until the first letter of this task was read or given up."""
        if self.settings.callbacks == "all":
            await self.told.setdefault(task.task_id, asyncio.Event()).wait()
        self.told.pop(task.task_id, None)

    def _letter(self, task: Task, step: Step) -> Letter:
        stage = step.stage or ""
        struck = self.faults.strike("callback", task.case(stage=stage))
        faults = {fault.name: fault for fault in reversed(struck)}
        for name in faults:
            task.struck_by(name)
        return Letter(task, stage, self._body(task, step, faults), faults)

    def _body(self, task: Task, step: Step, faults: dict[str, Fault]) -> dict[str, Any]:
        origin = self.origin(task)
        if task.product == "jobs":
            return kie.callback(task, kie.record(task, origin, self.settings.result_json))
        if step.stage == "error":
            return wire.error_callback(task, "failed" if "type_failed" in faults else "error", step.data)
        songs = wire.items(task, step.status, origin)
        if step.stage == "text" and "text_items" in faults:
            songs = [wire.item(task, take, origin, ready=False) for take in wire.TAKES]
        if "create_time_text" in faults:
            songs = wire.with_text_time(songs)
        return wire.callback(task, step.stage or "", songs)

    def _send_off(self, letters: list[Letter]) -> None:
        going = asyncio.create_task(self._deliver(letters))
        self.on_the_way.add(going)
        going.add_done_callback(self.on_the_way.discard)

    async def _deliver(self, letters: list[Letter]) -> None:
        for letter in letters:
            await self._deliver_one(letter)
            if waiting := self.told.get(letter.task.task_id):
                waiting.set()

    async def _deliver_one(self, letter: Letter) -> None:
        task, faults = letter.task, letter.faults
        if "drop_callback" in faults:
            task.dropped.append(letter.stage)
            self.ledger.note("dropped", account=task.account.name, taskId=task.task_id, stage=letter.stage)
            return
        if "late_callback" in faults:
            await self.clock.sleep(faults["late_callback"]["seconds"])
        count = faults["duplicate_callback"]["count"] if "duplicate_callback" in faults else 1
        content = orjson.dumps(letter.body)
        for _ in range(count):
            await self._try_and_retry(letter, content)

    async def _try_and_retry(self, letter: Letter, content: bytes) -> None:
        task = letter.task
        for pause in (0.0, *self.settings.retry_pauses):
            await self.clock.sleep(pause)
            status = await self._post(task.order.callback_url, content, self._headers(letter))
            name = {"account": task.account.name, "taskId": task.task_id}
            at = self.ledger.note("callback", **name, stage=letter.stage, status=status)
            task.callbacks.append({"stage": letter.stage, "status": status, "at": at})
            if status == httpx.codes.OK:
                return

    def _headers(self, letter: Letter) -> dict[str, str]:
        """A signature where kie was given a key; faults make it a bad one."""
        headers = {"content-type": "application/json"}
        key = self.settings.hmac_key
        bad = letter.faults["wrong_signature"]["how"] if "wrong_signature" in letter.faults else None
        if self.settings.dialect != "kie" or key is None or bad == "missing":
            return headers
        timestamp = int(self.clock.wall()) - (STALE_SECONDS if bad == "stale" else 0)
        signed = kie.signature(key + ("x" if bad == "wrong" else ""), letter.task.task_id, timestamp)
        return headers | {"x-webhook-timestamp": str(timestamp), "x-webhook-signature": signed}

    async def _post(self, url: str, content: bytes, headers: dict[str, str]) -> int:
        try:
            async with self.room, asyncio.timeout(self.settings.answer_seconds):
                return (await self.http.post(url, content=content, headers=headers)).status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return 0
