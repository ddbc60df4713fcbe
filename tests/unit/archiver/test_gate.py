"""The gate's rows, modes and block list, decided from findings alone."""

import secrets

import pytest

from libs.common.errors import SettingError
from services.archiver.domain import gate
from services.archiver.domain.failures import GATE, Code
from services.archiver.domain.gate import BlockList, Mode, Policy, Refused, judge
from services.archiver.settings import Settings

CLEAN_RAW = {
    "blocked": 0.0,
    "sample_rate": 44100.0,
    "channels": 2.0,
    "seconds": 200.0,
    "drop_db": 3.0,
    "half_second_dbfs": -25.0,
    "clipped_per_minute": 0.0,
    "clipped_in_a_row": 0.0,
    "dc": 2e-5,
    "mono_loss_lu": 1.6,
    "correlation": 0.4,
    "correlation_10s": 0.1,
    "share_below_60hz": 0.02,
    "share_below_100hz": 0.2,
    "lufs": -23.0,
    "rise_1s_db": 4.0,
    "rise_50ms_db": 9.0,
    "reduction_db": 0.0,
    "voice_windows": 0.0,
}
CLEAN_MASTERED = CLEAN_RAW | {
    "duration_error_ms": 0.0,
    "range_lu": 2.0,
    "loudness_error_lu": 0.1,
    "peak_before_dbtp": -3.0,
    "peak_dbtp": -2.6,
    "join_click_excess": 0.4,
    "join_dip_db": 0.3,
}
CLEAN_MIX = {
    "duration_error_ms": 0.0,
    "voice_margin_lu": 9.8,
    "speech_lufs": -17.3,
    "between_lufs": -19.8,
    "peak_dbtp": -2.6,
}
CLEAN: dict[gate.Stage, dict[str, float]] = {"raw": CLEAN_RAW, "mastered": CLEAN_MASTERED, "mix": CLEAN_MIX}


def test_clean_findings_pass_every_row_of_every_stage() -> None:
    rows = gate.thresholds().rows
    verdicts = [verdict for stage, found in CLEAN.items() for verdict in judge(stage, found, Mode.ENFORCE)]
    assert len(verdicts) == len(rows)
    assert all(verdict.passed for verdict in verdicts)


@pytest.mark.parametrize(
    ("stage", "finding", "value", "code"),
    [
        ("raw", "blocked", 1.0, "gate_known_bad"),
        ("raw", "sample_rate", 22050.0, "gate_format"),
        ("raw", "sample_rate", 96000.0, "gate_format"),
        ("raw", "channels", 1.0, "gate_format"),
        ("raw", "channels", 6.0, "gate_format"),
        ("raw", "seconds", 44.9, "too_short"),
        ("raw", "drop_db", 15.1, "gate_silence"),
        ("raw", "half_second_dbfs", -60.1, "gate_silence"),
        ("raw", "clipped_per_minute", 11.0, "gate_clipping"),
        ("raw", "clipped_in_a_row", 4.0, "gate_clipping"),
        ("raw", "dc", 1.1e-3, "gate_dc"),
        ("raw", "mono_loss_lu", 3.01, "gate_mono_loss"),
        ("raw", "correlation", -0.01, "gate_phase"),
        ("raw", "correlation_10s", -0.31, "gate_phase"),
        ("raw", "share_below_60hz", 0.21, "gate_rumble"),
        ("raw", "share_below_100hz", 0.51, "gate_rumble"),
        ("raw", "lufs", -35.1, "gate_loudness_raw"),
        ("raw", "lufs", -6.9, "gate_loudness_raw"),
        ("raw", "rise_1s_db", 8.1, "gate_startle"),
        ("raw", "rise_50ms_db", 14.1, "gate_startle"),
        ("raw", "reduction_db", 3.1, "gate_too_hot"),
        ("mastered", "duration_error_ms", 50.1, "duration_off"),
        ("mastered", "drop_db", 15.1, "gate_silence"),
        ("mastered", "rise_1s_db", 8.1, "gate_startle"),
        ("mastered", "range_lu", 8.1, "gate_range"),
        ("mastered", "loudness_error_lu", 0.51, "gate_loudness"),
        ("mastered", "peak_before_dbtp", -1.4, "gate_true_peak"),
        ("mastered", "peak_dbtp", -0.9, "gate_true_peak"),
        ("mastered", "join_click_excess", 1.1, "gate_join_clicks"),
        ("mix", "duration_error_ms", 50.1, "duration_off"),
        ("mix", "voice_margin_lu", 8.9, "gate_voice_margin"),
        ("mix", "speech_lufs", -18.6, "gate_mix_loudness"),
        ("mix", "speech_lufs", -15.4, "gate_mix_loudness"),
        ("mix", "peak_dbtp", -0.9, "gate_true_peak"),
    ],
)
def test_a_finding_beyond_its_bound_refuses_with_its_own_code(
    stage: gate.Stage, finding: str, value: float, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        judge(stage, CLEAN[stage] | {finding: value}, Mode.ENFORCE)
    assert refused.value.code == code
    assert refused.value.code in GATE
    assert [verdict.finding for verdict in refused.value.verdicts if not verdict.passed] == [finding]


def test_what_is_only_recorded_refuses_for_the_block_list_alone() -> None:
    silent = CLEAN_RAW | {"drop_db": 90.0, "channels": 1.0, "seconds": 3.0}
    failed = [verdict for verdict in judge("raw", silent, Mode.RECORD) if not verdict.passed]
    assert {verdict.check for verdict in failed} == {"silence", "format", "duration_raw"}
    assert {verdict.mode for verdict in failed} == {"record"}
    with pytest.raises(Refused) as refused:
        judge("raw", silent | {"blocked": 1.0}, Mode.RECORD)
    assert refused.value.code is Code.GATE_KNOWN_BAD


def test_music_between_spoken_lines_that_is_off_its_level_is_advice() -> None:
    (bed,) = [each for each in judge("mix", CLEAN_MIX | {"between_lufs": -21.1}, Mode.ENFORCE) if not each.passed]
    assert (bed.check, bed.mode, bed.refuses) == ("mix_bed", "advise", False)


def test_a_voice_is_advice() -> None:
    (voice,) = [each for each in judge("raw", CLEAN_RAW | {"voice_windows": 5.0}, Mode.ENFORCE) if not each.passed]
    assert (voice.check, voice.mode, voice.refuses) == ("voice", "advise", False)


def test_what_was_not_measured_is_not_judged() -> None:
    assert [verdict.finding for verdict in judge("mastered", {"peak_dbtp": -2.0}, Mode.ENFORCE)] == ["peak_dbtp"]


def test_files_without_a_plan_are_recorded_whatever_the_mode() -> None:
    assert Policy(Mode.ENFORCE).mode_for(planned=True) is Mode.ENFORCE
    assert Policy(Mode.RECORD).mode_for(planned=True) is Mode.RECORD
    assert Policy(Mode.ENFORCE).mode_for(planned=False) is Mode.RECORD


def test_the_block_list_knows_bytes_and_what_sounds_like_them() -> None:
    sounds = secrets.token_hex(160)
    listed = BlockList.with_ours([("ab" * 32).upper(), sounds])
    assert listed.names(bytes.fromhex("ab" * 32), "")
    assert not listed.names(bytes.fromhex("cd" * 32), "")
    near = f"{int(sounds, 16) ^ (1 << 100) - 1:0320x}"  # 100 of 1280 bits
    far = f"{int(sounds, 16) ^ (1 << 400) - 1:0320x}"
    assert listed.names(b"", near)
    assert not listed.names(b"", far)
    assert not listed.names(b"", "")


@pytest.mark.parametrize("wrong", ["ab", "zz" * 32, "00" * 160])
def test_a_hash_that_is_none_or_says_nothing_ends_the_start(wrong: str) -> None:
    with pytest.raises(SettingError, match="GATE_BLOCKED"):
        Settings(gate_blocked=(wrong,)).policy()


def test_the_settings_name_mode_and_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", "record")
    monkeypatch.setenv("GATE_BLOCKED", "ab" * 32)
    policy = Settings().policy()
    assert policy.mode is Mode.RECORD
    assert policy.blocked.names(bytes.fromhex("ab" * 32), "")
