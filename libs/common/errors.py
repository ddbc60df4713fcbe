"""Owns the exceptions services share: problems, refused settings, the named next moves of a Kafka consumer."""

from collections.abc import Mapping
from http import HTTPStatus


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An answer that is an RFC 9457 problem document.

    Args:
        status: HTTP status, 4xx or 5xx.
        code: stable machine-readable name (`not_found`, `run_not_ready`); clients decide on it, never on the texts.
        title: short text for people, the same for every problem of this code; default: the status's own phrase.
        detail: text about this occurrence. Never a value the caller sent, a host name, SQL or a trace (A3).
        headers: sent with the answer, such as `Retry-After`.
        members: extension members of the document, camelCase.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str | None = None,
        *,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def document(self) -> dict[str, object]:
        """Return the JSON body; the five standard names and `code` win over extension members."""
        body: dict[str, object] = dict(self.members)
        body |= {"type": f"urn:parcours:problem:{self.code}", "title": self.title, "status": self.status}
        body["code"] = self.code
        if self.detail is not None:
            body["detail"] = self.detail
        return body


class SettingError(ValueError):
    """The configuration cannot work. Its text names the variable and what it may be, never a value."""


class Retry(Exception):  # noqa: N818 - named after the consumer's next move
    """This delivery failed in a way that may pass: keep it in `consumer_retries`, acknowledge, try again later.

    Args:
        reason: stable code, kept with the row; no personal data.
        after_seconds: wait at least this long; `None` leaves the back-off to the consumer.
    """

    def __init__(self, reason: str, *, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds


class Reject(Exception):  # noqa: N818 - named after the consumer's next move
    """No delivery of this message will ever succeed: put it into `dead_letters` with this reason and go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SlowDown(Exception):  # noqa: N818 - named after the consumer's next move
    """Nothing is wrong with the message, but nobody can work now: pause the consumer, count no delivery.

    Args:
        reason: stable code for the log.
        seconds: how long to pause before the same message is tried again.
    """

    def __init__(self, reason: str, *, seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds
