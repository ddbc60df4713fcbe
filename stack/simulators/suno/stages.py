"""Owns the life of an accepted task: which stages it reaches and when, faults included; who tells it is the courier."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from stack.simulators.suno.clock import Clock
from stack.simulators.suno.faults import Fault
from stack.simulators.suno.ledger import Ledger
from stack.simulators.suno.tasks import Task
from stack.simulators.suno.wire import STATUS_OF

Told = Literal["text", "first", "complete", "error"]

NAMES: Final[tuple[Told, ...]] = ("text", "first", "complete")
SOON: Final = 1.0  # s after which a task that could not be started says so
REFUNDED: Final = 531  # "generation failed, credits returned" [D]
_ERRORS: Final = {
    400: "The content contains inappropriate or copyrighted words",
    408: "Generation timed out",
    500: "Internal server error",
    501: "Audio generation failed",
    531: "Sorry, the generation failed. Your credits have been refunded",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A change of status at a moment (provider seconds after acceptance); `stage` None: nobody is told."""

    at: float
    status: str
    stage: Told | None
    code: int | None = None
    refund: bool = False
    data: Any = None
    with_audio: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a task, and the order in which held callbacks are sent (None: at once)."""

    steps: tuple[Step, ...]
    order: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """Plays plans. `tell` is called at each step that somebody hears of, and returns at once."""

    clock: Clock
    ledger: Ledger
    tell: Callable[[Task, Step], None]
    give_back: Callable[[Task], None]
    ended: Callable[[Task], None]
    running: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, task: Task, plan: Plan) -> None:
        playing = asyncio.create_task(self._play(task, plan))
        self.running.add(playing)
        playing.add_done_callback(self.running.discard)

    async def _play(self, task: Task, plan: Plan) -> None:
        for step in plan.steps:
            await self.clock.sleep(task.began + step.at - self.clock.now())
            self._reach(task, step)

    def _reach(self, task: Task, step: Step) -> None:
        task.error_code = step.code
        task.error_message = _ERRORS.get(step.code, "Generation failed") if step.code else None
        task.with_audio = step.with_audio
        task.move(step.status)
        if task.done:
            task.ended, task.ended_at = self.clock.now(), self.clock.wall()
            self.ended(task)
        self.ledger.note("status", account=task.account.name, taskId=task.task_id, status=step.status)
        if step.refund:
            self.give_back(task)
        if step.stage is not None:
            self.tell(task, step)


def make_plan(stages: tuple[float, float, float], faults: list[Fault], at_once: str | None = None) -> Plan:
    """What becomes of a task. `at_once`: this stage comes first and now; the ones before it are skipped."""
    struck = {fault.name: fault for fault in reversed(faults)}
    times = dict(zip(NAMES, stages, strict=True))
    steps = [Step(times[name], STATUS_OF[name], name) for name in NAMES]
    if at_once is not None:
        begun = NAMES.index(at_once)
        steps = [Step(0.0, STATUS_OF[at_once], NAMES[begun]), *steps[begun + 1 :]]
    steps = _ended_early(steps, times, struck)
    if "skip_stage" in struck:
        steps = [step for step in steps if step.stage not in struck["skip_stage"]["stages"]]
    if "callback_exception" in struck and steps and steps[-1].stage == "complete":
        audio = struck["callback_exception"]["audio"]
        steps[-1] = Step(steps[-1].at, "CALLBACK_EXCEPTION", None, with_audio=audio)
    order = tuple(struck["reorder_callbacks"]["order"]) if "reorder_callbacks" in struck else None
    return Plan(tuple(steps), order)


def _ended_early(steps: list[Step], times: dict[Told, float], struck: dict[str, Fault]) -> list[Step]:
    if "create_failed" in struck:
        return [Step(SOON, "CREATE_TASK_FAILED", "error", struck["create_failed"]["code"])]
    if "sensitive" in struck:
        return [Step(times["text"], "SENSITIVE_WORD_ERROR", "error", struck["sensitive"]["code"])]
    if "fail" in struck:
        fault = struck["fail"]
        refund = fault["code"] == REFUNDED if fault["refund"] is None else fault["refund"]
        last = Step(times[fault["at"]], fault["status"], "error", fault["code"], refund, fault["data"])
        return [step for step in steps if step.at < last.at] + [last]
    if "stuck" in struck:
        reached = ("pending", *NAMES).index(struck["stuck"]["at"])
        return [step for step in steps if NAMES.index(step.stage or "") < reached]
    return steps
