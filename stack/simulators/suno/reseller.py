"""Owns what the reseller decides: who may call, what is accepted at its stamp, what it costs, what it tells."""

import collections
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import httpx

from stack.simulators.suno import kie, wire
from stack.simulators.suno.clock import Clock
from stack.simulators.suno.courier import Courier
from stack.simulators.suno.faults import Case, FaultBook
from stack.simulators.suno.ledger import Ledger
from stack.simulators.suno.quota import make_window
from stack.simulators.suno.rules import OLD_MODELS, V6_MODELS, Order, RefusedError, Why, read_order
from stack.simulators.suno.settings import Settings
from stack.simulators.suno.sound import Sound
from stack.simulators.suno.stages import Life, Plan, make_plan
from stack.simulators.suno.tasks import PICTURED, Account, Task

Product = Literal["music", "jobs"]


@dataclass
class Reseller:
    """All of it in memory, gone with the process but for the ledger's file. Used from one event loop."""

    settings: Settings
    clock: Clock
    sound: Sound
    http: httpx.AsyncClient
    accounts: dict[str, Account] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    delays: Random = field(init=False)
    faults: FaultBook = field(init=False)
    ledger: Ledger = field(init=False)
    life: Life = field(init=False)
    courier: Courier = field(init=False)
    _seen_origin: str = "http://127.0.0.1"

    def __post_init__(self) -> None:
        settings = self.settings
        self.delays = Random(f"{settings.seed} delays")  # noqa: S311 - chances that can be repeated
        self._phases = Random(f"{settings.seed} phases")  # noqa: S311
        self.faults = FaultBook(Random(f"{settings.seed} faults"), settings.faults)  # noqa: S311
        self.ledger = Ledger(self.clock, settings.ledger)
        self._balance = settings.credits
        self._begin()
        self.ledger.note("started", dialect=settings.dialect, window=settings.window, speed=settings.speed)

    def _begin(self) -> None:
        self.courier = Courier(self.settings, self.clock, self.ledger, self.faults, lambda _: self.origin, self.http)
        self.life = Life(self.clock, self.ledger, self.courier.tell, self._give_back, self._ended)

    @property
    def origin(self) -> str:
        """What addresses of files begin with."""
        return self.settings.origin or self._seen_origin

    def seen_at(self, origin: str) -> None:
        """The address by which callers reach us, when none was configured."""
        self._seen_origin = origin

    @property
    def codes(self) -> Mapping[Why, int]:
        return kie.CODES if self.settings.dialect == "kie" else wire.CODES

    def account(self, authorization: str) -> Account | None:
        """The account of a key, or None when it is not let in."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key or (self.settings.keys and key not in self.settings.keys):
            return None
        name = hashlib.sha256(key.encode()).hexdigest()[:8]
        if name not in self.accounts:
            self.accounts[name] = Account(name, make_window(self.settings, self._phases), self._balance)
        self.settle_balances()
        return self.accounts[name]

    def settle_balances(self) -> None:
        """Do what `credits` faults say, each once."""
        for amount, name in self.faults.take_balances():
            if name is None:
                self._balance = amount
            for account in self.accounts.values():
                if name in (None, account.name):
                    account.credits = amount

    def read(self, body: object, product: Product) -> Order:
        """Check a submission; raises `RefusedError`."""
        if product == "jobs":
            return kie.read_job(body, prompt_alone=self.settings.prompt_alone)
        models = OLD_MODELS if self.settings.dialect == "kie" else OLD_MODELS + V6_MODELS
        return read_order(body, models=models, prompt_alone=self.settings.prompt_alone)

    def accept(self, account: Account, order: Order, product: Product, at_once: str | None = None) -> tuple[Task, Plan]:
        """Stamp the call now; raises `RefusedError`, charges and begins the task otherwise."""
        now = self.clock.now()
        if account.credits < self.settings.credits_per_call:
            raise RefusedError("wallet", wire.TEXTS["wallet"])
        full = self.settings.max_in_flight is not None and account.in_flight >= self.settings.max_in_flight
        if full or not account.window.admit(now):
            _remember(account.refusals, now, self.settings.window_seconds)
            raise RefusedError("rate", wire.TEXTS["rate"])
        _remember(account.stamps, now, self.settings.window_seconds)
        task = self._task(account, order, product, now)
        case = task.case()
        struck = self.faults.strike("stage", case)
        for fault in struck:
            task.struck_by(fault.name)
            if fault.name == "wrong_length":
                task.seconds = round(task.seconds * fault["factor"], 3)
        plan = make_plan(task.stages, struck, at_once)
        account.accepted += 1
        account.in_flight += 1
        account.credits -= task.charged
        self.tasks[task.task_id] = task
        self.ledger.note("accepted", **{key: value for key, value in task.entry().items() if key in _WRITTEN})
        self.courier.begin(task, plan)
        self.life.begin(task, plan)
        return task, plan

    def poll(self, account: Account, task_id: str) -> Task:
        """The task that record-info asks for; raises `RefusedError`. Nobody sees another account's."""
        self.ledger.polls += 1
        now = self.clock.now()
        if self.settings.record_info_counts and not account.window.admit(now):
            raise RefusedError("rate", wire.TEXTS["rate"])
        task = self.tasks.get(task_id)
        if task is None or task.account is not account:
            raise RefusedError("unknown", "task not found")
        task.polls += 1
        recent = task.recent_polls
        if self.settings.dialect == "kie" and len(recent) == kie.POLLS_PER_SECOND and now - recent[0] < 1.0:
            raise RefusedError("rate", wire.TEXTS["rate"])
        recent.append(now)
        return task

    def report(self) -> dict[str, Any]:
        """The ledger, for tests and for people."""
        self.settle_balances()
        accounts = {
            one.name: {"credits": one.credits, "accepted": one.accepted, "in_flight": one.in_flight}
            for one in self.accounts.values()
        }
        first = next(iter(self.accounts.values()), None)
        return {
            "accepted": [task.entry() for task in self.tasks.values()],
            "refused": dict(self.ledger.refused),
            "refusals": list(self.ledger.refusals),
            "unanswered": dict(self.ledger.unanswered),
            "polls": self.ledger.polls,
            "credits": first.credits if first else self._balance,
            "accounts": accounts,
        }

    def reset(self) -> None:
        """Forget everything but the configuration; running tasks end without a word."""
        self.stop()
        self.accounts, self.tasks, self._balance = {}, {}, self.settings.credits
        self.faults.clear()
        self.ledger.forget()
        self.ledger.note("reset")
        self._begin()

    def stop(self) -> None:
        for going in [*self.life.running, *self.courier.on_the_way]:
            going.cancel()

    def _task(self, account: Account, order: Order, product: Product, now: float) -> Task:
        wide = 1 + self.settings.jitter * (2 * self.delays.random() - 1) if self.settings.jitter else 1.0
        text, first, complete = (stage * wide for stage in self.settings.stages)
        return Task(
            task_id=secrets.token_hex(16),
            account=account,
            order=order,
            product=product,
            seconds=self.sound.seconds if order.seconds is None else order.seconds,
            began=now,
            accepted_at=self.clock.wall(),
            stamped_at=self.clock.monotonic(),
            stages=(text, first, complete),
            charged=self.settings.credits_per_call,
        )

    def _give_back(self, task: Task) -> None:
        task.account.credits += task.charged
        task.refunded = task.charged
        self.ledger.note("refunded", account=task.account.name, taskId=task.task_id, credits=task.charged)

    @staticmethod
    def _ended(task: Task) -> None:
        task.account.in_flight -= 1


_WRITTEN = ("taskId", "account", "segment", "model", "title", "stampedAt", "charged")


def case_of(account: Account, order: Order | None) -> Case:
    """What a submit fault may be aimed at; a call that makes no sense has no title."""
    if order is None:
        return Case(account.name)
    return Case(account.name, order.model, order.title, order.segment)


def _remember(moments: collections.deque[float], now: float, window: float) -> None:
    """Keep what the live page shows."""
    moments.append(now)
    while now - moments[0] > PICTURED * window:
        moments.popleft()
