"""Claims about the signed providers, played by their simulators: good, refused, failed, late, forged, expired."""

from typing import Any

import pytest

from libs.common import metrics
from services.generator.handlers.webhook_keys import sweep_webhook_keys
from stack.simulators import replicate
from tests.integration.generator import rig
from tests.integration.generator.rig import until, value
from tests.integration.generator.signed import KEYS, Play
from tests.integration.generator.whole import FILE_SECONDS

BOTH = pytest.mark.parametrize("name", ["fal", "replicate"], indirect=True)
FAL = pytest.mark.parametrize("name", ["fal"], indirect=True)
REPLICATE = pytest.mark.parametrize("name", ["replicate"], indirect=True)
LOCKED = {"fault": "http_error", "status": 403, "detail": "User is locked. Reason: Exhausted balance."}


# --- good ---


@BOTH
async def test_music_is_made_vouched_for_stored_and_paid_once(play: Play) -> None:
    [segment] = await play.whole.ask()
    await play.whole.completed(segment)
    [attempt] = await play.whole.attempts(segment)
    [job] = play.accepted
    assert (attempt["provider"], attempt["account"], attempt["rank"]) == (play.name, f"{play.name}-1", 6)
    assert attempt["provider_task_id"] == job["taskId"]
    assert float(attempt["cost"]) == job["charged"] > 0
    assert (job["segment"], job["seconds"]) == (str(segment), FILE_SECONDS)
    assert {call["status"] for call in job["callbacks"]} == {200}
    assert job["polls"] == 0
    path = await value(play.whole.pool, "SELECT storage_path FROM parcours_segments WHERE id = $1", segment)
    head = await play.whole.objects.head(path)
    assert head is not None
    assert not play.composer.heard


@FAL
async def test_no_more_than_two_are_in_flight_at_fal(play: Play) -> None:
    play.faults({"fault": "stuck"})
    segments = await play.whole.ask(5)

    async def two_run() -> bool:
        return len(play.accepted) == 2

    await until(two_run)
    waiting = await value(play.whole.pool, "SELECT count(*) FROM generation_queue WHERE provider = 'fal'")
    assert waiting == len(segments) - 2


# --- refused ---


@pytest.mark.parametrize(
    ("name", "fault", "code", "reason", "for_good"),
    [
        ("fal", LOCKED, "http_403_locked", "wallet", True),
        ("fal", {"fault": "http_error", "status": 401}, "http_401", "key", True),
        ("fal", {"fault": "http_error", "status": 422}, "http_422", None, False),
        ("fal", {"fault": "http_error", "status": 404}, "http_404", None, False),
        ("replicate", {"fault": "http_error", "status": 402}, "http_402", "wallet", True),
        ("replicate", {"fault": "http_error", "status": 401}, "http_401", "key", True),
        ("replicate", {"fault": "http_error", "status": 422}, "http_422", None, False),
    ],
    indirect=["name"],
)
async def test_a_refusal_that_nothing_mends_goes_to_the_next_at_once(
    play: Play, fault: dict[str, Any], code: str, reason: str | None, *, for_good: bool
) -> None:
    play.faults(fault)
    [segment] = await play.whole.ask()
    await play.handed_on(segment)
    first = (await play.whole.attempts(segment))[0]
    assert (first["outcome"], first["error_code"], first["cost"]) == ("refused", code, None)
    assert tuple(await play.account()) == (reason, for_good)
    assert not play.accepted


@pytest.mark.parametrize(
    ("name", "fault", "code"),
    [
        (
            "fal",
            {"status": 503, "body": {"error_type": "runner_scheduling_failure"}},
            "http_503_runner_scheduling_failure",
        ),
        ("fal", {"status": 504, "headers": {"x-fal-request-timeout-type": "user"}}, "http_504_user"),
        ("replicate", {"status": 500}, "http_500"),
        ("replicate", {"status": 503, "html": True}, "http_503"),
    ],
    indirect=["name"],
)
async def test_a_passing_trouble_is_tried_again(play: Play, fault: dict[str, Any], code: str) -> None:
    play.faults({"fault": "http_error", "times": 1} | fault)
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 2)
    first, second = await play.whole.attempts(segment)
    assert (first["outcome"], first["error_code"]) == ("refused", code)
    assert second["provider"] == play.name
    assert len(play.accepted) == 1


@REPLICATE
async def test_a_throttle_freezes_and_halves(play: Play) -> None:
    play.faults({"fault": "http_error", "status": 429, "times": 1, "detail": replicate.THROTTLED})
    [segment] = await play.whole.ask()

    async def refused() -> bool:
        return (
            bool(await play.whole.attempts(segment)) and (await play.whole.attempts(segment))[0]["outcome"] is not None
        )

    await until(refused)
    query = "SELECT slots_allowed, (SELECT min(not_before) > clock_timestamp() + interval '20 s' FROM generation_queue)"
    [row] = await rig.fetch(play.whole.pool, f"{query} FROM quota_accounts WHERE account = 'replicate-1'")
    assert tuple(row) == (300, True)  # half, and no sooner than the text of the refusal says


# --- ambiguous ---


@BOTH
async def test_a_lost_reply_is_adopted_by_its_webhook_and_priced(play: Play) -> None:
    play.faults({"fault": "reply_lost", "times": 1})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 5)

    async def priced() -> bool:
        [attempt] = await play.whole.attempts(segment)
        return attempt["cost"] is not None

    await until(priced)
    [attempt] = await play.whole.attempts(segment)
    assert float(attempt["cost"]) == play.accepted[0]["charged"]
    assert len(play.accepted) == 1


@BOTH
async def test_a_webhook_before_the_reply_is_believed(play: Play) -> None:
    play.faults({"fault": "callback_before_reply", "times": 1})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 5)
    assert len(await play.whole.attempts(segment)) == 1


# --- failed ---


@pytest.mark.parametrize(
    ("name", "fault", "code"),
    [
        ("fal", {"fault": "fail"}, "422"),
        ("fal", {"fault": "fail", "detail": "The prompt was refused."}, "422"),
    ],
    indirect=["name"],
)
async def test_a_wish_that_the_model_refuses_goes_to_the_next(play: Play, fault: dict[str, Any], code: str) -> None:
    play.faults(fault)
    [segment] = await play.whole.ask()
    await play.handed_on(segment)
    first = (await play.whole.attempts(segment))[0]
    assert (first["rank"], first["error_code"]) == (4, code)
    assert len(play.accepted) == 1


@pytest.mark.parametrize(
    ("name", "fault", "code"),
    [
        ("fal", {"fault": "fail", "status": 500, "detail": "Internal Server Error", "refund": True}, "500"),
        ("fal", {"fault": "error_in_status"}, "503"),
        ("replicate", {"fault": "fail"}, "failed"),
        ("replicate", {"fault": "fail", "status": "canceled"}, "canceled"),
        ("replicate", {"fault": "fail", "status": "aborted"}, "aborted"),
        ("replicate", {"fault": "output", "how": "null"}, "no_audio"),
    ],
    indirect=["name"],
)
async def test_what_failed_may_be_made_again(play: Play, fault: dict[str, Any], code: str) -> None:
    play.faults({"times": 1} | fault)
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 5)
    first, second = await play.whole.attempts(segment)
    assert (first["rank"], first["error_code"]) == (4, code)
    assert (second["provider"], second["rank"] >= 5) == (play.name, True)


@REPLICATE
async def test_output_may_be_a_list(play: Play) -> None:
    play.faults({"fault": "output", "how": "list"})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 5)


# --- late ---


@BOTH
async def test_a_lost_webhook_is_made_good_by_a_look_up(play: Play) -> None:
    play.faults({"fault": "drop_callback"})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 2)
    await play.whole.make_late(segment)
    await play.whole.reached(segment, 5)
    [job] = play.accepted
    assert job["callbacks"] == []
    assert job["polls"] >= 1
    assert len(await play.whole.attempts(segment)) == 1


@BOTH
async def test_a_late_webhook_of_known_news_changes_nothing(play: Play) -> None:
    play.faults({"fault": "late_callback", "seconds": 100})  # 5 s: our question comes first on a busy machine too
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 2)
    await play.whole.make_late(segment)
    await play.whole.reached(segment, 5)
    before = await play.whole.attempts(segment)

    async def told() -> bool:
        return any(call["stage"] == "complete" for call in play.accepted[0]["callbacks"])

    await until(told)
    assert {call["status"] for call in play.accepted[0]["callbacks"]} == {200}
    assert await play.whole.attempts(segment) == before


@FAL
async def test_a_result_that_no_webhook_can_carry_is_fetched_at_once(play: Play) -> None:
    play.faults({"fault": "payload_null"})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 5)
    [attempt] = await play.whole.attempts(segment)
    assert attempt["facts"]["status_url"].startswith(play.simulator.origin)


@FAL
async def test_a_result_that_lapsed_is_made_again(play: Play) -> None:
    play.faults({"fault": "drop_callback", "times": 1}, {"fault": "result_gone"})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 2)
    await play.whole.make_late(segment)
    await play.whole.reached(segment, 5)
    first, second = await play.whole.attempts(segment)
    assert (first["error_code"], second["rank"]) == ("404", 5)


@FAL
async def test_addresses_elsewhere_are_never_given_our_key(play: Play) -> None:
    play.faults({"fault": "submit_foreign_urls"}, {"fault": "drop_callback"})
    [segment] = await play.whole.ask()
    attempt = await play.whole.reached(segment, 2)
    assert "status_url" not in attempt["facts"]
    await play.whole.make_late(segment)
    await play.whole.reached(segment, 5)


@REPLICATE
async def test_a_prediction_whose_data_lapsed_is_made_again(play: Play) -> None:
    play.faults({"fault": "drop_callback", "times": 2}, {"fault": "data_removed", "times": 1})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 2)

    async def done() -> bool:
        return bool(play.accepted[0]["status"] == "succeeded")

    await until(done)
    await play.whole.make_late(segment)
    await play.whole.reached(segment, 5)
    first, second = await play.whole.attempts(segment)
    assert (first["error_code"], second["rank"]) == ("no_audio", 5)


# --- forged ---


@BOTH
@pytest.mark.parametrize("how", ["wrong", "missing", "stale", "body"])
async def test_a_forged_webhook_is_refused_and_the_truth_is_looked_up(play: Play, how: str) -> None:
    play.faults({"fault": "forged", "how": how})
    [segment] = await play.whole.ask()

    async def refused_for_good() -> bool:
        return any(len(job["callbacks"]) >= 3 for job in play.accepted)

    await until(refused_for_good)
    assert {call["status"] for call in play.accepted[0]["callbacks"]} == {401}
    assert (await play.whole.attempts(segment))[0]["rank"] == 2
    await play.whole.make_late(segment)
    await play.whole.reached(segment, 5)


@REPLICATE
async def test_one_matching_signature_of_two_is_enough(play: Play) -> None:
    play.faults({"fault": "two_signatures"})
    [segment] = await play.whole.ask()
    await play.whole.reached(segment, 5)
    assert play.accepted[0]["polls"] == 0


# --- expired ---


@BOTH
async def test_a_file_that_is_gone_is_made_again(play: Play) -> None:
    play.faults({"fault": "file_gone", "times": 1})
    [segment] = await play.whole.ask()
    await play.whole.completed(segment)
    first, second = await play.whole.attempts(segment)
    assert (first["error_code"], second["rank"]) == ("file_gone", 6)
    assert [job["downloads"][0]["status"] for job in play.accepted] == [404, 200]


# --- keys ---


@BOTH
async def test_keys_are_kept_until_others_are_stored_and_never_shown(
    play: Play, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, kept = play.whole.pool, await play.whole.keys(play.name)
    assert len(kept) == (2 if play.name == "fal" else 1)
    age = "UPDATE provider_keys SET fetched_at = fetched_at - interval '13 hours'"
    await rig.fetch(pool, age)
    bad: list[Any] = [None, {"keys": []}, {"key": "no secret"}, {"keys": "x" * 2_000_000}]
    for body in bad:
        play.faults({"fault": "keys_error", "status": 200 if body else 503, "body": body})
        await sweep_webhook_keys(play.whole.resources)
        assert sorted(await play.whole.keys(play.name)) == sorted(kept)
    play.faults()
    if isinstance(play.simulator, replicate.Replicate):
        play.simulator.secret = "whsec_bmV3IHNlY3JldCBvZiBSZXBsaWNhdGU="
    await sweep_webhook_keys(play.whole.resources)
    stale = await value(pool, "SELECT count(*) FROM provider_keys WHERE fetched_at < now() - interval '1 hour'")
    assert stale == 0
    if isinstance(play.simulator, replicate.Replicate):
        assert await play.whole.keys("replicate") == [play.simulator.secret]
    said = caplog.text + "".join(capsys.readouterr()) + metrics.render()[0].decode()
    assert not [secret for secret in (*kept, *KEYS.values()) if secret in said]
    assert "token=" not in said
