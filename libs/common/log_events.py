"""Owns the closed list of log event names; a line whose `event` is not here cannot be written (mypy refuses it).

Names are past tense or a state, in alphabetical order within their part. Fields beside them never hold emotion, SUDS,
free text, tokens or signed URLs (`logs.py` drops what slips through).
"""

from enum import StrEnum, unique


@unique
class LogEvent(StrEnum):
    """What a log line may be about."""

    # Every process
    # a dependency did not answer a health check: check, error
    CHECK_FAILED = "check_failed"
    # the database did not take a request, which was answered with 503: error
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"
    # DRAIN_SECONDS passed with work in hand; it is left to its lease: seconds
    DRAIN_EXPIRED = "drain_expired"
    # a line of a library's own logger: logger, message
    LIBRARY = "library"
    # SIGTERM or SIGINT came: seconds allowed
    SERVICE_DRAINING = "service_draining"
    # it listens: host, port
    SERVICE_STARTED = "service_started"
    # everything is closed
    SERVICE_STOPPED = "service_stopped"
    # the lifespan could not open what it needs; the process leaves with status 3: error
    START_FAILED = "start_failed"
    # the lifespan could not close something: error
    STOP_FAILED = "stop_failed"
    # a request ended in 500: method, route, error
    UNHANDLED_ERROR = "unhandled_error"

    # Identity
    # a bearer was no user: code, reason (never the bearer itself)
    BEARER_REFUSED = "bearer_refused"
    # public keys could not be fetched; known ones serve up to a bound: age_seconds
    JWKS_REFRESH_FAILED = "jwks_refresh_failed"
