"""Owns the claims about metrics: names and labels of operations.md §5.1, boundaries on the objectives."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from libs.common import metrics
from libs.common.metrics import SPECS, Kind, Metric

FORBIDDEN_LABELS = {"user", "user_id", "run", "run_id", "segment", "segment_id", "task_id", "preset", "emotion"}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    metrics.configure("sample", "1.2", "stable")


def _samples() -> dict[str, list[dict[str, str]]]:
    text, _ = metrics.render()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def _observe_all() -> None:
    for metric, spec in SPECS.items():
        labels = dict.fromkeys(spec.labels, "x")
        if spec.kind is Kind.COUNTER:
            metrics.count(metric, 1, track=None, **labels)
        elif spec.kind is Kind.GAUGE:
            metrics.gauge(metric, 1, track=None, **labels)
        else:
            metrics.observe(metric, 1, track=None, **labels)


def test_every_name_has_a_specification_and_a_meaning() -> None:
    assert set(SPECS) == set(Metric)
    assert all(spec.meaning for spec in SPECS.values())


def test_names_say_what_they_count() -> None:
    for metric, spec in SPECS.items():
        assert metric.endswith("_total") == (spec.kind is Kind.COUNTER)
        assert (spec.kind is not Kind.HISTOGRAM) or (metric.endswith("_seconds") and spec.buckets)


def test_every_series_carries_its_origin_and_no_id() -> None:
    _observe_all()
    for labels in (labels for series in _samples().values() for labels in series):
        assert {"service": "sample", "version": "1.2", "track": "stable"}.items() <= labels.items()
        assert not FORBIDDEN_LABELS & labels.keys()


@pytest.mark.parametrize(
    ("name", "objectives"),
    [
        ("run_ttfp_seconds", {40, 45, 60}),
        ("segment_ttfp_seconds", {40, 45, 60}),
        ("segment_ttfc_seconds", {180, 300}),
        ("run_ready_seconds", {1440}),
        ("callback_seconds", {0.05, 1, 15}),
    ],
)
def test_each_objective_is_a_boundary(name: str, objectives: set[float]) -> None:
    _observe_all()
    boundaries = {float(labels["le"]) for labels in _samples()[f"{name}_bucket"]}
    assert objectives <= boundaries


def test_label_sets_start_at_zero_when_announced() -> None:
    metrics.start(Metric.STORAGE_OPERATIONS, op=["put", "head", "delete"], outcome=["ok", "retried", "failed"])
    text, _ = metrics.render()
    lines = [line for line in text.decode().splitlines() if line.startswith("storage_operations_total")]
    assert len(lines) == 9
    assert all(line.endswith(" 0.0") for line in lines)


def test_the_track_of_a_run_replaces_the_process_own() -> None:
    metrics.observe(Metric.RUN_TTFP, 12.0, track="canary")
    assert {labels["track"] for labels in _samples()["run_ttfp_seconds_count"]} == {"canary"}


def test_the_running_build_is_shown() -> None:
    assert _samples()["build_info"] == [{"service": "sample", "version": "1.2", "track": "stable"}]


def test_a_metric_is_written_only_as_what_it_is() -> None:
    with pytest.raises(TypeError, match="not a gauge"):
        metrics.gauge(Metric.RUNS_FINISHED, 1, outcome="ready")
    with pytest.raises(TypeError, match="not a counter"):
        metrics.count(Metric.RUN_TTFP)
    with pytest.raises(TypeError, match="not a histogram"):
        metrics.observe(Metric.RUNS_STUCK, 1)


def test_a_label_that_is_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        metrics.count(Metric.RUNS_FINISHED, outcome="ready", user="x")
