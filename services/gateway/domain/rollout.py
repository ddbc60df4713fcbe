"""Owns which share of people has a feature: the same bucket in Python, PostgreSQL and HAProxy (operations.md §3.5)."""

import hashlib
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Rollout:
    """A row of `rollout`; a missing row is 0 %."""

    percent: int = 0
    salt: str = ""

    def includes(self, user_id: UUID) -> bool:
        """Whether this user is inside; who is inside at 5 % is inside at 25 %."""
        return bucket(self.salt, user_id) < self.percent


def bucket(salt: str, user_id: UUID) -> int:
    """Return the user's bucket, 0 to 99."""
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100
