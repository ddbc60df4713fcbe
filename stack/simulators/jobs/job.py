"""Owns what is known of one accepted request."""

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed"]


@dataclass
class Job:
    """`ending`: why it failed, in the provider's word (`canceled`, an HTTP status …); None while it is well."""

    id: str
    account: str
    model: str
    input: dict[str, Any]
    webhook: str
    segment: str
    seconds: float
    accepted_at: float  # epoch seconds
    stamped_at: float  # the machine's monotonic clock
    charged: float
    refunded: float = 0.0
    state: State = "queued"
    ending: str | None = None
    struck: list[str] = field(default_factory=list)
    polls: int = 0
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    downloads: list[dict[str, Any]] = field(default_factory=list)

    def row(self, status: str) -> dict[str, Any]:
        """Its entry in the ledger; the token is never kept."""
        return {
            "taskId": self.id,
            "account": self.account,
            "segment": self.segment,
            "model": self.model,
            "title": "",
            "seconds": self.seconds,
            "acceptedAt": self.accepted_at,
            "stampedAt": self.stamped_at,
            "charged": self.charged,
            "refunded": self.refunded,
            "status": status,
            "callbacks": self.callbacks,
            "polls": self.polls,
            "downloads": self.downloads,
            "faults": self.struck,
        }
