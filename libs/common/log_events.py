"""Owns the closed list of log event names; mypy or tests/unit/common/test_log_events.py refuses any other.

Names are past tense or a state. Fields beside them never hold emotion, SUDS, free text, tokens, signed URLs (`logs.py`
drops what slips through).
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

    # Database, broker, loops
    # the broker does not answer yet; asked again: error_class
    BROKER_UNREACHABLE = "broker_unreachable"
    # an offset could not be committed; the inbox makes the repetition harmless: topic, error_class
    COMMIT_FAILED = "commit_failed"
    # a message was given up: topic, error_code, deliveries
    DEAD_LETTER = "dead_letter"
    # a handler raised; the message is kept for later: topic, error_class
    HANDLER_FAILED = "handler_failed"
    # the connection that listens for NOTIFY broke; made again: error_class
    LISTEN_LOST = "listen_lost"
    # one pass of a periodic loop raised: loop
    LOOP_FAILED = "loop_failed"
    # one pass found its dependency away: loop, error_class
    LOOP_UNAVAILABLE = "loop_unavailable"
    # a NOTIFY was lost, which costs its listeners a second: channel, error_class
    NOTIFY_FAILED = "notify_failed"
    # rows could not be published; they stay in the outbox: rows
    RELAY_UNPUBLISHED = "relay_unpublished"
    # a row of the outbox that cannot be sent as it is: row, topic, exception
    RELAY_ROW_REFUSED = "relay_row_refused"
    # a consumer pauses without counting a delivery: topic, error_class
    SLOW_DOWN = "slow_down"

    # Create
    # a text job was given up, its run gone or its processes dead: run_id, tries
    WORDS_ABANDONED = "words_abandoned"
    # the model gave no usable answer, the templates stay: run_id, reason
    WORDS_MISSING = "words_missing"
    # the model's words that passed were written: run_id, changed, dropped
    WORDS_WRITTEN = "words_written"

    # Generator
    # a provider account takes no calls for a while: account, reason, seconds
    ACCOUNT_CLOSED = "account_closed"
    # it takes calls again: account
    ACCOUNT_OPENED = "account_opened"
    # an accepted attempt failed, and what follows was decided: verdict, provider, attempt, error_code
    ATTEMPT_FAILED = "attempt_failed"
    # composer plays in place of a provider that is away or late: provider, rows
    BRIDGED = "bridged"
    # the callback service did not take what was found at the provider: attempt_id, error_class
    CALLBACK_UNREACHABLE = "callback_unreachable"
    # the database's clock stepped, and all slots wait anew: seconds
    DATABASE_CLOCK_STEPPED = "database_clock_stepped"
    # an attempt without news was given up: provider, attempt, running
    GAVE_UP_WAITING = "gave_up_waiting"
    # an overdue attempt was looked up at its provider: provider, attempt, state
    LOOKED_UP = "looked_up"
    # the callback service refused what was found at the provider: attempt_id, status
    NEWS_REFUSED = "news_refused"
    # an ambiguous attempt was sent again: provider, attempt
    POSSIBLE_DOUBLE_CHARGE = "possible_double_charge"
    # a provider did not answer: account, error_class
    PROVIDER_UNREACHABLE = "provider_unreachable"
    # the provider's reply could not be recorded; the attempt is ambiguous now: attempt_id, error_class
    REPLY_NOT_WRITTEN = "reply_not_written"
    # no attempt is left for a segment: run_id, segment_id, error_code
    SEGMENT_GIVEN_UP = "segment_given_up"
    # the code that submits raised: error
    SUBMISSION_BROKE = "submission_broke"
    # a submission failed and may be repeated: verdict, provider, error_code
    SUBMISSION_FAILED = "submission_failed"
    # a submission failed and no repetition mends it: verdict, provider, error_code
    SUBMISSION_REFUSED = "submission_refused"
    # a second task exists for one attempt, paid for nothing: attempt, provider
    SURPLUS_TASK = "surplus_task"
    # a provider said something its table does not know: provider, error_code
    UNKNOWN_PROVIDER_CODE = "unknown_provider_code"
    # the keys of a provider's signed webhooks were not given; those that are kept serve on: provider, accounts
    WEBHOOK_KEYS_MISSING = "webhook_keys_missing"
    # they were fetched and kept: provider, keys (how many)
    WEBHOOK_KEYS_STORED = "webhook_keys_stored"

    # Archiver
    # a job raised something unforeseen: kind, attempt
    ARCHIVE_FAILED = "archive_failed"
    # deliveries had no job and were given one by the sweep: inserted
    ARCHIVE_JOBS_MISSING = "archive_jobs_missing"
    # a job waits for its next try: kind, attempt, reason, tries
    ARCHIVE_POSTPONED = "archive_postponed"
    # the generator did not say whether the provider delivered: attempt, error_class
    CONFIRM_UNANSWERED = "confirm_unanswered"
    # composer plays no rest of a file that came too short, its takes follow each other: run_id, segment_id, reason
    CONTINUATION_MISSING = "continuation_missing"
    # a take will not be fetched: error_code, run_id, segment_id
    FILE_GIVEN_UP = "file_given_up"
    # a segment's file is stored: run_id, segment_id
    FILE_STORED = "file_stored"
    # a narrated segment is stored without its voice, or without a line of it: reason, run_id, segment_id
    NARRATION_MISSING = "narration_missing"
    # the store holds an object that no attempt of its segment made: run_id, segment_id
    OBJECT_UNKNOWN = "object_unknown"
    # a preview will not be copied: error_code, segment_id
    PREVIEW_GIVEN_UP = "preview_given_up"
    # a preview stands already: segment_id
    PREVIEW_KEPT_BEFORE = "preview_kept_before"
    # a growing preview could not be served: reason, segment_id
    PREVIEW_UNREADABLE = "preview_unreadable"
    # a file arrived for a segment that has one: run_id, segment_id
    SURPLUS_GENERATION = "surplus_generation"

    # Composer
    # nobody took a callback after its repeats: task_id, stage
    CALLBACK_UNDELIVERED = "callback_undelivered"
    # a rendering raised: kind, error
    RENDER_FAILED = "render_failed"
    # a rendering process died and is replaced: exit_status
    WORKER_ENDED = "worker_ended"
