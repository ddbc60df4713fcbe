"""Owns the metrics: the closed list of names, their labels and buckets, and this process's registry of them.

Every series carries `service`, `version` and `track`; never a user, run, segment or task id, preset or emotion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, unique
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

# Seconds (operations.md §5.1). A boundary stands exactly on each objective, else it cannot be measured.
BUCKETS_P = (1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 75, 90, 120, 180, 300)  # objectives 40, 45, 60
BUCKETS_C = (30, 60, 90, 120, 150, 180, 210, 240, 300, 360, 480, 600, 900)  # objectives 180, 300
BUCKETS_R = (60, 240, 480, 720, 960, 1200, 1440, 1800, 2700)  # objective 1440
BUCKETS_B = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)  # objectives 0.05, 1, 15


class Kind(Enum):
    """What a series does."""

    COUNTER = Counter
    GAUGE = Gauge
    HISTOGRAM = Histogram


@dataclass(frozen=True)
class Spec:
    """What a metric means and which labels it has beside service, version and track."""

    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


@unique
class Metric(StrEnum):
    """The closed list; the meaning of each stands in `SPECS`."""

    RUN_TTFP = "run_ttfp_seconds"
    RUN_READY = "run_ready_seconds"
    RUNS_FINISHED = "runs_finished_total"
    RUNS_STUCK = "runs_stuck"
    RUN_OLDEST_CREATING = "run_oldest_creating_seconds"
    SEGMENT_TTFP = "segment_ttfp_seconds"
    SEGMENT_TTFC = "segment_ttfc_seconds"
    SEGMENTS_FINISHED = "segments_finished_total"
    SEGMENT_ERRORS = "segment_errors_total"
    SEGMENTS_SILENT = "segments_silent"
    STORAGE_OPERATIONS = "storage_operations_total"
    OUTBOX_OLDEST = "outbox_oldest_seconds"
    OUTBOX_PENDING = "outbox_pending"
    CONSUMER_LAG_MESSAGES = "consumer_lag_messages"
    CONSUMER_LAG_SECONDS = "consumer_lag_seconds"
    CONSUMER_REBALANCES = "consumer_rebalances_total"
    CONSUMER_COMMIT_FAILURES = "consumer_commit_failures_total"
    DLQ_MESSAGES = "dlq_messages_total"
    DLQ_OPEN = "dlq_open"
    PROVIDER_REQUESTS = "provider_requests_total"
    PROVIDER_REQUEST_SECONDS = "provider_request_seconds"
    PROVIDER_QUOTA_USED = "provider_quota_used_ratio"
    PROVIDER_CIRCUIT_OPEN = "provider_circuit_open"
    PROVIDER_UP = "provider_up"
    PROVIDER_CREDITS = "provider_credits"
    CALLBACK_REQUESTS = "callback_requests_total"
    CALLBACK_SECONDS = "callback_seconds"
    SSE_CONNECTIONS = "sse_connections"
    SSE_RESYNCS = "sse_resyncs_total"
    SSE_DELIVERY = "sse_delivery_seconds"
    HTTP_REQUESTS = "http_requests_total"
    HTTP_REQUEST_SECONDS = "http_request_seconds"
    SIGN_REQUESTS = "sign_requests_total"
    POSSIBLE_DOUBLE_CHARGE = "possible_double_charge_total"
    SURPLUS_GENERATIONS = "surplus_generations_total"
    GENERATION_COST = "generation_cost_total"
    UNKNOWN_PROVIDER_CODES = "unknown_provider_codes_total"
    FILE_CONFIRMATIONS = "file_confirmations_total"
    GATE_REFUSALS = "gate_refusals_total"
    GATE_WASTE = "gate_wasted_audio_seconds_total"
    BUILD_INFO = "build_info"


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
SPECS: dict[Metric, Spec] = {
    Metric.RUN_TTFP: Spec(_H, "run created to first playable sound", buckets=BUCKETS_P),
    Metric.RUN_READY: Spec(_H, "run created to ready", buckets=BUCKETS_R),
    Metric.RUNS_FINISHED: Spec(_C, "runs that ended: ready, failed", ("outcome",)),
    Metric.RUNS_STUCK: Spec(_G, "runs in creating for more than 30 min"),
    Metric.RUN_OLDEST_CREATING: Spec(_G, "age of the oldest run in creating"),
    Metric.SEGMENT_TTFP: Spec(_H, "segment requested to first", ("provider",), BUCKETS_P),
    Metric.SEGMENT_TTFC: Spec(_H, "segment requested to complete, that is stored", ("provider",), BUCKETS_C),
    Metric.SEGMENTS_FINISHED: Spec(_C, "segments that ended: complete, failed", ("outcome", "provider")),
    Metric.SEGMENT_ERRORS: Spec(_C, "failed attempts by code, timeout among them", ("provider", "error_code")),
    Metric.SEGMENTS_SILENT: Spec(_G, "segments generating without news for more than 5 min"),
    Metric.STORAGE_OPERATIONS: Spec(_C, "put, head, delete by ok, retried, failed", ("op", "outcome")),
    Metric.OUTBOX_OLDEST: Spec(_G, "age of the oldest unpublished row"),
    Metric.OUTBOX_PENDING: Spec(_G, "unpublished rows"),
    Metric.CONSUMER_LAG_MESSAGES: Spec(_G, "messages not yet processed", ("topic", "group")),
    Metric.CONSUMER_LAG_SECONDS: Spec(_G, "age of the oldest unprocessed message", ("topic", "group")),
    Metric.CONSUMER_REBALANCES: Spec(_C, "rebalances, which the framework swallows", ("group",)),
    Metric.CONSUMER_COMMIT_FAILURES: Spec(_C, "failed commits, which the framework swallows", ("group",)),
    Metric.DLQ_MESSAGES: Spec(_C, "dead letters added", ("topic", "reason")),
    Metric.DLQ_OPEN: Spec(_G, "dead letters neither replayed nor dismissed", ("topic", "reason")),
    Metric.PROVIDER_REQUESTS: Spec(_C, "calls; throttled apart from no_credits", ("provider", "account", "outcome")),
    Metric.PROVIDER_REQUEST_SECONDS: Spec(_H, "length of calls", ("provider", "account", "outcome"), BUCKETS_B),
    Metric.PROVIDER_QUOTA_USED: Spec(_G, "calls in the window / limit", ("provider", "account")),
    Metric.PROVIDER_CIRCUIT_OPEN: Spec(_G, "1 while the circuit is open", ("provider", "account")),
    Metric.PROVIDER_UP: Spec(_G, "1 while real calls succeed", ("provider", "account")),
    Metric.PROVIDER_CREDITS: Spec(_G, "balance", ("provider", "account")),
    Metric.CALLBACK_REQUESTS: Spec(
        _C, "accepted, skipped, unauthorised, malformed, too_large, unavailable", ("verdict",)
    ),
    Metric.CALLBACK_SECONDS: Spec(_H, "webhook received to answered", ("verdict",), BUCKETS_B),
    Metric.SSE_CONNECTIONS: Spec(_G, "open event streams"),
    Metric.SSE_RESYNCS: Spec(_C, "streams that got a new snapshot", ("reason",)),
    Metric.SSE_DELIVERY: Spec(_H, "event committed to bytes written", buckets=BUCKETS_B),
    Metric.HTTP_REQUESTS: Spec(_C, "requests by route template", ("route", "method", "code")),
    Metric.HTTP_REQUEST_SECONDS: Spec(_H, "length of requests", ("route", "method", "code"), BUCKETS_B),
    Metric.SIGN_REQUESTS: Spec(_C, "requests for a signed URL", ("route", "method", "code")),
    Metric.POSSIBLE_DOUBLE_CHARGE: Spec(_C, "ambiguous attempts sent again", ("provider",)),
    Metric.SURPLUS_GENERATIONS: Spec(_C, "paid results nobody needed", ("provider",)),
    Metric.UNKNOWN_PROVIDER_CODES: Spec(_C, "answers that no table knows; taken for `retry`", ("provider",)),
    Metric.GENERATION_COST: Spec(_C, "cost of attempts", ("provider", "unit")),
    Metric.FILE_CONFIRMATIONS: Spec(
        _C, "W4 questions: success, running, failed, unknown, unanswered; off, busy, late where not asked", ("outcome",)
    ),
    Metric.GATE_REFUSALS: Spec(_C, "takes that the quality gate refused", ("provider", "code")),
    Metric.GATE_WASTE: Spec(_C, "length of takes that were refused, made and paid for nothing", ("provider",)),
    Metric.BUILD_INFO: Spec(_G, "1 for the running build"),
}

_ORIGIN = ("service", "version", "track")


class Registry:
    """The series of one process."""

    def __init__(self, service: str, version: str, track: str) -> None:
        self._origin = {"service": service, "version": version, "track": track}
        self._collectors = CollectorRegistry()
        self._series = {metric: _make(metric, spec, self._collectors) for metric, spec in SPECS.items()}
        self._children: dict[tuple[object, ...], Counter | Gauge | Histogram] = {}

    def child(self, metric: Metric, track: str | None, labels: dict[str, str]) -> Counter | Gauge | Histogram:
        """Return one labelled series, made at 0 when it is new."""
        key = (metric, track, *labels.items())  # looked up by the library's own names, it costs ten times as much
        found = self._children.get(key)
        if found is None:
            origin = self._origin if track is None else self._origin | {"track": track}
            found = self._children[key] = self._series[metric].labels(**origin, **labels)
        return found

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type: OpenMetrics when asked for, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._collectors), content_type


def _make(metric: Metric, spec: Spec, collectors: CollectorRegistry) -> Counter | Gauge | Histogram:
    labels = (*_ORIGIN, *spec.labels)
    if spec.kind is Kind.HISTOGRAM:
        return Histogram(metric, spec.meaning, labels, registry=collectors, buckets=spec.buckets)
    make = Counter if spec.kind is Kind.COUNTER else Gauge
    return make(metric, spec.meaning, labels, registry=collectors)


_process = Registry("unknown", "0", "stable")


def configure(service: str, version: str, track: str) -> None:
    """Begin this process's registry; what was counted before is dropped. Called by `http.create_app`."""
    global _process  # noqa: PLW0603 - one registry per process, as one log stream
    _process = Registry(service, version, track)
    gauge(Metric.BUILD_INFO, 1)


def start(metric: Metric, **values: Sequence[str]) -> None:
    """Make every combination of these label values appear at 0, so that a rate has a beginning."""
    for combination in product(*values.values()):
        _process.child(metric, None, dict(zip(values, combination, strict=True)))


def count(metric: Metric, amount: float = 1, *, track: str | None = None, **labels: str) -> None:
    """Add to a counter; `track` is the run's for run and segment metrics, else left out."""
    series = _process.child(metric, track, labels)
    if not isinstance(series, Counter):
        raise TypeError(f"{metric} is a {SPECS[metric].kind.name.lower()}, not a counter")
    series.inc(amount)


def gauge(metric: Metric, value: float, *, track: str | None = None, **labels: str) -> None:
    """Set a gauge."""
    series = _process.child(metric, track, labels)
    if not isinstance(series, Gauge):
        raise TypeError(f"{metric} is a {SPECS[metric].kind.name.lower()}, not a gauge")
    series.set(value)


def observe(metric: Metric, seconds: float, *, track: str | None = None, **labels: str) -> None:
    """Observe a duration; only when the guarded UPDATE returned a row, so that a replay does not count twice."""
    series = _process.child(metric, track, labels)
    if not isinstance(series, Histogram):
        raise TypeError(f"{metric} is a {SPECS[metric].kind.name.lower()}, not a histogram")
    series.observe(seconds)


def render(accept: str = "") -> tuple[bytes, str]:
    """Return the text of `/metrics` and its content type."""
    return _process.render(accept)
