"""What is drawn of a file, and where a player may change over: of the part that the plan keeps."""

import numpy as np

from services.archiver.sound.hearing import Listener
from services.archiver.sound.outline import peaks_of, quiet_points_of

RATE = 8000


def heard(sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]], keep_seconds: float | None = None) -> Listener:
    listener = Listener(keep_seconds)
    size = listener.begin(RATE, 2)
    stereo = np.stack([sound, sound / 2], axis=1).astype(">f4").tobytes()
    for start in range(0, len(stereo), size):
        listener.add(stereo[start : start + size])
    return listener


def test_six_hundred_points_show_the_loudest_sample_of_each() -> None:
    sound = np.full(60 * RATE, 0.25, np.float32)
    sound[30 * RATE + 5] = -0.8
    peaks = peaks_of(heard(sound).heard)
    assert len(peaks) == 600
    assert (peaks[299], peaks[300], peaks[301]) == (25, 80, 25)


def test_what_the_plan_does_not_keep_is_not_drawn() -> None:
    sound = np.concatenate((np.full(20 * RATE, 0.25), np.full(20 * RATE, 0.5))).astype(np.float32)
    assert set(peaks_of(heard(sound, 20.0).heard)) == {25}
    assert len(peaks_of(heard(sound[: 2 * RATE]).heard)) == 200  # one every 10 ms is all there is
    assert peaks_of(Listener(None).heard) == ()


def test_the_quietest_two_seconds_of_every_ten_are_named() -> None:
    sound = np.full(40 * RATE, 0.5, np.float32)
    for second in (7, 16, 36):
        sound[second * RATE : (second + 2) * RATE] = 0.1
    assert quiet_points_of(heard(sound).heard) == (8000, 17000)  # the last lies within 8 s of the end
    assert quiet_points_of(heard(sound[: 12 * RATE]).heard) == ()
