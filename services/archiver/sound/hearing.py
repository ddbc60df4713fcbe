"""Owns listening to a decoded file once, ten seconds at a time: what is kept of each block are sums, never samples."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.sound.beat import Beginnings

HOPS_PER_SECOND: Final = 100  # the envelope is read every 10 ms (§4: startle, voice)
BLOCK_SECONDS: Final = 10  # 3.5 MB of stereo
FRAME_HOPS: Final = 40  # spectra of 0.4 s, as long as the blocks of the loudness meter
CLIPPED: Final = np.float32(0.999)  # §4
HALF: Final = np.float32(0.5)
HIGH_HZ: Final = 9000.0  # where clicks stand out (§4)
VOICE_HZ: Final = (300.0, 3400.0)  # §4
RUMBLE_HZ: Final = (60.0, 100.0)  # §4
HASH_FRAMES: Final = 81  # 32 s make 80 rows of bits
HASH_EDGES: Final = np.geomspace(200.0, 4000.0, 18)  # 17 bands make 16 bits

Floats = NDArray[np.float32]
Exact = NDArray[np.floating[Any]]


@dataclass(slots=True)
class Heard:
    """Sums of a file. Each list holds one array a block; rows of `seconds` are Σl², Σr², Σlr of one second.

    Columns of `frames`: K-weighted power of mid and of side, A-weighted power times frequency, A-weighted power,
    power below 60 Hz, below 100 Hz, in all. `bands` are of the first `HASH_FRAMES` frames.
    """

    rate: int = 0
    channels: int = 0
    samples: int = 0
    kept: int = 0
    clipped: int = 0
    longest_clip: int = 0
    sums: Exact = field(default_factory=lambda: np.zeros(2))
    power: list[Floats] = field(default_factory=list)  # of both channels, mean of each 10 ms
    loudest: list[Floats] = field(default_factory=list)  # the larger of both channels, most of each 10 ms
    voice: list[Floats] = field(default_factory=list)  # power of 300–3400 Hz of each 10 ms
    seconds: list[Floats] = field(default_factory=list)
    frames: list[Floats] = field(default_factory=list)
    bands: list[Floats] = field(default_factory=list)
    high: list[Floats] = field(default_factory=list)  # power above 9 kHz of each ms, where it was asked for
    beginnings: Beginnings | None = None  # of notes, where it was asked for

    @property
    def hop(self) -> int:
        """Samples of 10 ms."""
        return max(1, self.rate // HOPS_PER_SECOND)


class Listener:
    """Takes interleaved big-endian floats, a block at a time; blocking, so its owner calls it in a thread.

    Only the first `keep_seconds` count, but for the length and the envelope. `clicks` asks for what joins need,
    `beat` for what the tempo is found in.
    """

    def __init__(self, keep_seconds: float | None, *, clicks: bool = False, beat: bool = False) -> None:
        self.heard = Heard()
        self._keep_seconds = keep_seconds
        self._clicks = clicks
        self._beat = beat
        self._weights: Floats = np.empty(0, np.float32)
        self._window: Floats = np.empty(0, np.float32)
        self._before: Floats = np.zeros(0, np.float32)

    def begin(self, rate: int, channels: int) -> int:
        """Learn what comes; returns the bytes of a block."""
        heard = self.heard
        heard.rate, heard.channels = rate, channels
        frame = FRAME_HOPS * heard.hop
        self._window = np.hanning(frame + 1)[:-1].astype(np.float32)
        self._weights = _weights(frame, rate)
        heard.beginnings = Beginnings(rate) if self._beat else None
        return BLOCK_SECONDS * HOPS_PER_SECOND * heard.hop * channels * 4

    def add(self, block: bytes) -> None:
        """Hear one block; a shorter one ends the file."""
        heard = self.heard
        width = 4 * heard.channels
        sound = np.frombuffer(block[: len(block) // width * width], ">f4").reshape(-1, heard.channels)
        left = _finite(sound[:, 0])
        right = _finite(sound[:, 1]) if heard.channels > 1 else left
        begin, heard.samples = heard.samples, heard.samples + len(sound)
        heard.power.append((_means(left * left, heard.hop) + _means(right * right, heard.hop)) * HALF)
        heard.loudest.append(_most(np.maximum(np.abs(left), np.abs(right)), heard.hop))
        keep = len(left) if self._keep_seconds is None else round(self._keep_seconds * heard.rate) - begin
        if keep > 0:
            self._judge(left[:keep], right[:keep])

    def _judge(self, left: Floats, right: Floats) -> None:
        heard = self.heard
        heard.kept += len(left)
        heard.sums += (left.sum(dtype=np.float64), right.sum(dtype=np.float64))
        for channel in (left, right)[: heard.channels]:
            self._count_clips(channel)
        whole = len(left) // (HOPS_PER_SECOND * heard.hop)
        if whole:
            pair = [side[: whole * HOPS_PER_SECOND * heard.hop].reshape(whole, -1) for side in (left, right)]
            products = [np.einsum("ij,ij->i", pair[one], pair[other]) for one, other in ((0, 0), (1, 1), (0, 1))]
            heard.seconds.append(np.stack(products, axis=1))
        mid: Floats = (left + right) * HALF
        heard.voice.append(_voice(mid, heard.hop, heard.rate))
        self._transform(mid, (left - right) * HALF)
        if heard.beginnings is not None:
            heard.beginnings.add(mid)
        if self._clicks:
            self._listen_for_clicks(mid)

    def _count_clips(self, channel: Floats) -> None:
        if not len(channel) or max(channel.max(), -channel.min()) < CLIPPED:
            return
        at = np.flatnonzero(np.abs(channel) >= CLIPPED)
        self.heard.clipped += len(at)
        runs = np.diff(np.flatnonzero(np.concatenate(([True], np.diff(at) != 1, [True]))))
        self.heard.longest_clip = max(self.heard.longest_clip, int(runs.max()))

    def _transform(self, mid: Floats, side: Floats) -> None:
        heard, frame = self.heard, len(self._window)
        count = len(mid) // frame
        if not count:
            return
        powers = [_spectra(sound[: count * frame].reshape(count, frame) * self._window) for sound in (mid, side)]
        both = powers[0] + powers[1]
        weighted = [power @ self._weights[:, 0] for power in powers]
        heard.frames.append(np.column_stack([*weighted, both @ self._weights[:, 1:]]))
        missing = HASH_FRAMES - sum(len(rows) for rows in heard.bands)
        if missing > 0:
            edges = np.minimum(np.round(HASH_EDGES * frame / heard.rate).astype(int), both.shape[1] - 1)
            heard.bands.append(np.add.reduceat(both[:missing], edges, axis=1)[:, :-1])

    def _listen_for_clicks(self, mid: Floats) -> None:
        """Without what lies below: by one transform, with 10 ms of the block before so that no edge sounds."""
        hop = self.heard.hop
        joined = np.concatenate((self._before, mid))
        margin, self._before = len(self._before), mid[-hop:]
        taper = np.ones(len(joined), np.float32)
        edge = min(hop // 2, len(joined) // 2)
        taper[:edge] = np.linspace(0, 1, edge, dtype=np.float32)
        taper[len(joined) - edge :] = taper[:edge][::-1]
        bins = np.fft.rfft(joined * taper)
        bins[: round(HIGH_HZ * len(joined) / self.heard.rate)] = 0
        high = np.fft.irfft(bins, len(joined)).astype(np.float32)[margin:]
        self.heard.high.append(_means(high * high, max(1, self.heard.rate // 1000)))


def _finite(channel: NDArray[np.float32]) -> Floats:
    """Native floats; what is no number (a hostile file of floats) is the loudest click there is."""
    plain = channel.astype(np.float32)
    if not np.isfinite(plain.sum()):
        np.nan_to_num(plain, copy=False, nan=1.0, posinf=1.0, neginf=-1.0)
    return plain


def _means(values: Floats, size: int) -> Floats:
    count = len(values) // size
    means: Floats = values[: count * size].reshape(count, size).mean(axis=1)
    return means


def _most(values: Floats, size: int) -> Floats:
    count = len(values) // size
    most: Floats = values[: count * size].reshape(count, size).max(axis=1)
    return most


def _spectra(frames: Floats) -> Floats:
    bins = np.fft.rfft(frames, axis=1)
    power: Floats = np.square(bins.real) + np.square(bins.imag)
    return power


def _voice(mid: Floats, hop: int, rate: int) -> Floats:
    count = len(mid) // hop
    low, high = (round(edge * hop / rate) for edge in VOICE_HZ)
    band: Floats = _spectra(mid[: count * hop].reshape(count, hop))[:, low : high + 1].sum(axis=1)
    return band


def _weights(frame: int, rate: int) -> Floats:
    """The columns of `Heard.frames` behind the first two, for each bin; scaled so that power is mean square."""
    hertz = np.fft.rfftfreq(frame, 1 / rate)
    scale = np.full(len(hertz), 2 / (frame * frame * 0.375))  # 0.375: mean square of a Hann window
    scale[:3] = 0.0  # a constant and its leakage are the row `dc`
    a = _a_weighting(hertz)
    columns = [_k_weighting(hertz), a * hertz, a, hertz < RUMBLE_HZ[0], hertz < RUMBLE_HZ[1], np.ones(len(hertz))]
    return np.stack([scale * column for column in columns], axis=1).astype(np.float32)


def _k_weighting(hertz: Exact) -> Exact:
    """Power response of BS.1770's two filters: the shelf of the head, and the high-pass."""
    s = 1j * hertz
    shelf, q, gain = 1681.974450955533, 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = gain**0.4996667741545416
    head = (gain * s**2 + middle * shelf / q * s + shelf**2) / (s**2 + shelf / q * s + shelf**2)
    corner, narrow = 38.13547087602444, 0.5003270373238773
    low = s**2 / (s**2 + corner / narrow * s + corner**2)
    response: Exact = np.abs(head * low) ** 2
    return response


def _a_weighting(hertz: Exact) -> Exact:
    """Power response of IEC 61672's A curve."""
    f2 = hertz**2
    amplitude = 12194.0**2 * f2**2 / ((f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194.0**2))
    response: Exact = amplitude**2
    return response
