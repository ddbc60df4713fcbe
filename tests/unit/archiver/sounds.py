"""Owns the sounds of the archiver's tests: pink noise of any length, level and container, made by ffmpeg."""

import subprocess
from pathlib import Path

import imageio_ffmpeg

FFMPEG = Path(imageio_ffmpeg.get_ffmpeg_exe())
STREAM = ("-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0", "-write_id3v1", "0")
"""How a provider's live stream is coded: no header."""


def noise(path: Path, seconds: float, *options: str, amplitude: float = 0.6, seed: int = 3) -> Path:
    """Write pink noise without rumble, which passes the gate; 0.6 is about −19.5 LUFS."""
    source = f"anoisesrc=color=pink:amplitude={amplitude}:seed={seed}:sample_rate=44100:d={seconds},highpass=f=120"
    codec = () if path.suffix != ".mp3" or options else ("-b:a", "192k")
    given = ["-f", "lavfi", "-i", source, "-ac", "2", *codec, *options]
    command = [str(FFMPEG), "-v", "error", *given, "-y", str(path)]
    subprocess.run(command, check=True)
    return path


def decoded(path: Path) -> bytes:
    """16-bit stereo PCM as any player that obeys the header hears it."""
    command = [str(FFMPEG), "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "2", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def decoded_samples(path: Path) -> int:
    return len(decoded(path)) // 4
