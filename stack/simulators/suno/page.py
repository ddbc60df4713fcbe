"""Owns what the live page is told: quota as places and stamps, the latest tasks, refusals, credits, faults."""

from pathlib import Path
from typing import Any, Final

from stack.simulators.suno.fault_kinds import COMMON, KINDS, REQUIRED, Kind
from stack.simulators.suno.quota import FixedWindow
from stack.simulators.suno.reseller import Reseller
from stack.simulators.suno.tasks import PICTURED, TERMINAL, Account, Task

PAGE: Final = Path(__file__).with_name("page.html")
TASKS_SHOWN: Final = 40
REFUSALS_SHOWN: Final = 12


def picture(reseller: Reseller) -> dict[str, Any]:
    """Everything the page draws; ages are provider seconds before now."""
    settings, now = reseller.settings, reseller.clock.now()
    tasks = list(reseller.tasks.values())
    statuses: dict[str, int] = {}
    for task in tasks:
        statuses[task.status] = statuses.get(task.status, 0) + 1
    return {
        "dialect": settings.dialect,
        "window": {"kind": settings.window, "calls": settings.window_calls, "seconds": settings.window_seconds},
        "speed": settings.speed,
        "callbacks": settings.callbacks,
        "stages": settings.stages,
        "pictured": PICTURED * settings.window_seconds,
        "accounts": [_account(one, now, settings.window_seconds) for one in reseller.accounts.values()],
        "statuses": statuses,
        "tasks": [_task(task, now) for task in tasks[: -TASKS_SHOWN - 1 : -1]],
        "refused": dict(reseller.ledger.refused),
        "unanswered": dict(reseller.ledger.unanswered),
        "refusals": list(reseller.ledger.refusals)[: -REFUSALS_SHOWN - 1 : -1],
        "polls": reseller.ledger.polls,
        "faults": reseller.faults.shown(),
        "kinds": {name: _kind(kind) for name, kind in KINDS.items()},
        "common": [name for name in COMMON if name != "probability"],
    }


def _account(account: Account, now: float, window: float) -> dict[str, Any]:
    oldest = now - PICTURED * window
    return {
        "name": account.name,
        "credits": account.credits,
        "accepted": account.accepted,
        "in_flight": account.in_flight,
        "left": round(account.window.left(now), 2),
        "edge": round((now - account.window.phase) % window, 2) if isinstance(account.window, FixedWindow) else None,
        "stamps": [round(now - at, 2) for at in account.stamps if at >= oldest],
        "refusals": [round(now - at, 2) for at in account.refusals if at >= oldest],
    }


def _task(task: Task, now: float) -> dict[str, Any]:
    until = now if task.ended is None else task.ended
    return {
        "id": task.task_id,
        "account": task.account.name,
        "title": task.order.title,
        "segment": task.order.segment,
        "model": task.order.model,
        "status": task.status,
        "done": task.status in TERMINAL,
        "age": round(until - task.began, 1),
        "stages": task.stages,
        "callbacks": [[call["stage"], call["status"]] for call in task.callbacks[-8:]],
        "dropped": task.dropped,
        "downloads": len(task.downloads),
        "faults": task.faults,
        "code": task.error_code,
    }


def _kind(kind: Kind) -> dict[str, Any]:
    defaults = {
        name: None if parameter.default is REQUIRED else parameter.default
        for name, parameter in kind.parameters.items()
    }
    needed = [name for name, parameter in kind.parameters.items() if parameter.default is REQUIRED]
    return {"where": kind.where, "told": kind.told, "defaults": defaults, "needed": needed}
