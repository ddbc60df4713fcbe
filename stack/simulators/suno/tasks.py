"""Owns what the reseller knows: accounts with their quota and balance, and the tasks it accepted."""

import asyncio
import collections
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from stack.simulators.suno.faults import Case
from stack.simulators.suno.quota import Window
from stack.simulators.suno.rules import Order

SUCCEEDED: Final = frozenset({"SUCCESS", "CALLBACK_EXCEPTION"})
FAILED: Final = frozenset({"CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED", "SENSITIVE_WORD_ERROR"})
TERMINAL: Final = SUCCEEDED | FAILED
PICTURED: Final = 3  # windows that the live page shows


@dataclass(slots=True)
class Account:
    """One key. Stamps and refusals are kept, in provider seconds, as long as the live page shows them."""

    name: str
    window: Window
    credits: float
    accepted: int = 0
    in_flight: int = 0
    stamps: collections.deque[float] = field(default_factory=collections.deque)
    refusals: collections.deque[float] = field(default_factory=collections.deque)


@dataclass(slots=True)
class Task:
    """One accepted call. `began`, `ended`: provider seconds; `…_at`: epoch, but `stamped_at`: monotonic."""

    task_id: str
    account: Account
    order: Order
    product: Literal["music", "jobs"]  # jobs: kie's createTask
    seconds: float
    began: float
    accepted_at: float
    stamped_at: float
    stages: tuple[float, float, float]  # when each is due, after `began`
    charged: float = 0
    refunded: float = 0
    status: str = "PENDING"
    error_code: int | None = None
    error_message: str | None = None
    with_audio: bool = True
    ended: float | None = None
    ended_at: float | None = None
    polls: int = 0
    recent_polls: collections.deque[float] = field(default_factory=lambda: collections.deque(maxlen=3))
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    downloads: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)  # replaced at each change of status

    @property
    def done(self) -> bool:
        return self.status in TERMINAL

    def case(self, **where: Any) -> Case:  # noqa: ANN401 - stage, take, stream
        """What a fault may be aimed at."""
        order = self.order
        return Case(self.account.name, order.model, order.title, order.segment, **where)

    def struck_by(self, name: str) -> None:
        if name not in self.faults:
            self.faults.append(name)

    def move(self, status: str) -> None:
        """Take a status and wake who waits for one."""
        self.status = status
        self.moved.set()
        self.moved = asyncio.Event()

    def entry(self) -> dict[str, Any]:
        """The ledger's account of it."""
        return {
            "taskId": self.task_id,
            "account": self.account.name,
            "segment": self.order.segment,
            "model": self.order.model,
            "title": self.order.title,
            "seconds": self.seconds,
            "acceptedAt": self.accepted_at,
            "stampedAt": self.stamped_at,
            "charged": self.charged,
            "refunded": self.refunded,
            "status": self.status,
            "callbacks": self.callbacks,
            "dropped": self.dropped,
            "polls": self.polls,
            "downloads": self.downloads,
            "faults": self.faults,
        }
