"""Owns MP3: constant bit rate by LAME, with an Info frame in front so that players start at sample 0 (§6.2)."""

import lameenc
import numpy as np

from services.composer.engine.level import encoder_gain
from services.composer.engine.padsynth import Stereo
from services.composer.engine.plan import SAMPLE_RATE

FRAME_SAMPLES = 1152
ENCODER_DELAY = 576  # samples; what LAME adds in front and the Info frame announces
EDGE_SAMPLES = 441  # 10 ms: a file that starts or ends inside music must not click
_LAYER3_KILOBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def frame_count(samples: int) -> int:
    """Frames LAME writes for this many samples: all of them, its delay, and one granule pair to flush."""
    return -(-(samples + 2 * ENCODER_DELAY) // FRAME_SAMPLES)


def audio_bytes(frames: int, kilobits: int) -> int:
    """Bytes of constant bit rate frames; the padding bit keeps the sum at the exact rate, rounded down."""
    return frames * 144_000 * kilobits // SAMPLE_RATE


def info_frame(samples: int, kilobits: int) -> bytes:
    """A silent frame that carries frame and byte counts, a seek table, and the exact delay and padding."""
    frames = frame_count(samples)
    frame = bytearray(144_000 * kilobits // SAMPLE_RATE)
    # MPEG-1 Layer III without CRC, 44.1 kHz, no padding bit, joint stereo, original: as LAME's own first frame
    frame[0:4] = bytes((0xFF, 0xFB, _LAYER3_KILOBITS.index(kilobits) << 4, 0x44))
    padding = min(max(frames * FRAME_SAMPLES - ENCODER_DELAY - samples, 0), 4095)
    info = b"Info" + (0x0F).to_bytes(4, "big") + frames.to_bytes(4, "big")
    info += (audio_bytes(frames, kilobits) + len(frame)).to_bytes(4, "big")
    info += bytes(percent * 256 // 100 for percent in range(100)) + (50).to_bytes(4, "big")
    frame[36 : 36 + len(info)] = info
    frame[156:165] = b"LAME3.100"
    frame[177:180] = (ENCODER_DELAY << 12 | padding).to_bytes(3, "big")
    return bytes(frame)


class Mp3Stream:
    """Encodes blocks as they come; its header is known beforehand, so the bytes can be served while they grow."""

    def __init__(self, samples: int, *, kilobits: int, quality: int) -> None:
        self._samples = samples
        self._kilobits = kilobits
        self._gain = encoder_gain(kilobits)
        self._done = 0
        self._written = 0
        self._encoder = lameenc.Encoder()
        self._encoder.silence()
        self._encoder.set_bit_rate(kilobits)
        self._encoder.set_in_sample_rate(SAMPLE_RATE)
        self._encoder.set_channels(2)
        self._encoder.set_quality(quality)

    def header(self) -> bytes:
        return info_frame(self._samples, self._kilobits)

    def add(self, block: Stereo) -> bytes:
        """Encode a block (2, n); what lies beyond the announced length is dropped."""
        block = block[:, : self._samples - self._done] * np.float32(self._gain)
        self._soften_edges(block)
        self._done += block.shape[1]
        pcm = np.clip(np.rint(block * 32767), -32768, 32767).astype("<i2")
        return self._counted(self._encoder.encode(np.ascontiguousarray(pcm.T).tobytes()))

    def close(self) -> bytes:
        """The last frames; raises if LAME wrote another length than the header announced."""
        last = self._counted(self._encoder.flush())
        expected = audio_bytes(frame_count(self._samples), self._kilobits)
        if self._done != self._samples or self._written != expected:
            raise EncodedLengthError(self._done, self._samples, self._written, expected)
        return last

    def _counted(self, chunk: bytes | bytearray) -> bytes:
        self._written += len(chunk)
        return bytes(chunk)

    def _soften_edges(self, block: Stereo) -> None:
        places = np.arange(self._done, self._done + block.shape[1])
        edge = np.minimum(places, self._samples - 1 - places)
        near = edge < EDGE_SAMPLES
        if near.any():
            block[:, near] *= (np.sin(edge[near] / EDGE_SAMPLES * np.pi / 2) ** 2).astype(np.float32)


class EncodedLengthError(RuntimeError):
    """The file would not decode to the length its header announces."""

    def __init__(self, samples: int, expected_samples: int, size: int, expected_size: int) -> None:
        super().__init__(
            f"expected {expected_samples} samples in {expected_size} bytes, found {samples} samples in {size} bytes",
        )
