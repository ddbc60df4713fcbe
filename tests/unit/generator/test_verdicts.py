"""Claims about what codes mean: the table of performance-and-reliability.md §2.4, row by row, and the unknown."""

import pytest

from services.generator.clients.suno import read_submission
from services.generator.domain.answers import Accepted, Answer, Refused
from services.generator.domain.verdicts import Verdict, VerdictTable, verdict_table

SUNO, COMPOSER = verdict_table("suno"), verdict_table("composer")


def envelope(code: int, data: object = None) -> dict[str, object]:
    return {"code": code, "msg": "whatever", "data": data}


def verdict_of(answer: Answer) -> tuple[Verdict, bool]:
    assert isinstance(answer, Refused)
    return answer.judgement.verdict, answer.judgement.known


@pytest.mark.parametrize("table", [SUNO, COMPOSER])
def test_a_task_id_in_the_envelope_is_an_acceptance(table: VerdictTable) -> None:
    assert read_submission(200, {}, envelope(200, {"taskId": "9f0c"}), table) == Accepted("9f0c")


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (430, Verdict.THROTTLE),
        (405, Verdict.THROTTLE),
        (429, Verdict.WALLET),
        (401, Verdict.KEY),
        (400, Verdict.BAD_REQUEST),
        (404, Verdict.BAD_REQUEST),
        (413, Verdict.BAD_REQUEST),
        (455, Verdict.MAINTENANCE),
        (500, Verdict.RETRY),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_sunoapi_codes_in_the_body_count_before_the_status(code: int, verdict: Verdict, status: int) -> None:
    assert verdict_of(read_submission(status, {}, envelope(code), SUNO)) == (verdict, True)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (429, Verdict.THROTTLE),
        (401, Verdict.KEY),
        (503, Verdict.RETRY),
        (500, Verdict.AMBIGUOUS),
        (502, Verdict.AMBIGUOUS),
        (504, Verdict.AMBIGUOUS),
        (200, Verdict.AMBIGUOUS),
    ],
)
@pytest.mark.parametrize("body", [None, "<html>", {"error": "x"}, {"code": "500"}, {"code": True}])
def test_sunoapi_statuses_without_the_envelope(status: int, verdict: Verdict, body: object) -> None:
    assert verdict_of(read_submission(status, {}, body, SUNO)) == (verdict, True)


def test_an_acceptance_without_a_task_id_may_have_been_paid() -> None:
    assert verdict_of(read_submission(200, {}, envelope(200, {}), SUNO)) == (Verdict.AMBIGUOUS, True)


@pytest.mark.parametrize(("status", "body"), [(200, envelope(777)), (418, None), (301, None)])
def test_an_unknown_code_is_a_retry_with_an_alert(status: int, body: object) -> None:
    assert verdict_of(read_submission(status, {}, body, SUNO)) == (Verdict.RETRY, False)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("-3", None)])
def test_retry_after_is_read_in_seconds(header: str, seconds: float | None) -> None:
    answer = read_submission(429, {"retry-after": header}, None, SUNO)
    assert isinstance(answer, Refused)
    assert answer.retry_after_seconds == seconds


def test_retry_after_is_read_as_a_date_too() -> None:
    answer = read_submission(429, {"retry-after": "Sat, 21 Nov 2020 12:00:00 GMT"}, None, SUNO)
    assert isinstance(answer, Refused)
    assert answer.retry_after_seconds == 0.0


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("429", Verdict.WALLET),
        ("400", Verdict.BAD_REQUEST),
        ("413", Verdict.BAD_REQUEST),
        ("451", Verdict.BAD_REQUEST),
        ("408", Verdict.RETRY),
        ("500", Verdict.RETRY),
        ("501", Verdict.RETRY),
        ("531", Verdict.RETRY),
        ("provider_501", Verdict.RETRY),
        ("url_refused", Verdict.BAD_REQUEST),
        ("too_large", Verdict.BAD_REQUEST),
        ("file_gone", Verdict.RETRY),
        ("not_audio", Verdict.RETRY),
        ("gate_silence", Verdict.RETRY),
        ("too_short", Verdict.RETRY),
        ("no_audio", Verdict.RETRY),
        ("provider_error", Verdict.RETRY),
    ],
)
def test_codes_of_failed_attempts(code: str, verdict: Verdict) -> None:
    judgement = SUNO.judge_failure(code)
    assert (judgement.verdict, judgement.known) == (verdict, True)


@pytest.mark.parametrize("code", ["599", "something_new"])
def test_an_unknown_failure_is_a_retry_with_an_alert(code: str) -> None:
    judgement = SUNO.judge_failure(code)
    assert (judgement.verdict, judgement.known) == (Verdict.RETRY, False)


def test_composer_has_no_wallet() -> None:
    assert verdict_of(read_submission(200, {}, envelope(429), COMPOSER)) == (Verdict.RETRY, False)
