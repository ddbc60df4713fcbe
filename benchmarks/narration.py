"""Shows narrated mixes by numbers: real voices over composer's music, how far it steps back and how soon it returns."""

import asyncio
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from services.archiver.domain.narration import Effect
from services.archiver.sound.mixing import Stems, mix
from tests.unit.archiver.corpus import composed, write_mp3
from tests.unit.archiver.narrated import BACK_WITHIN_DB, Narration, bed_margin_lu, narrated, stems_of
from tests.unit.archiver.sounds import FFMPEG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VOICES: Final = ("fr-fr", "en-gb")
MORE_VOICES: Final = ("fr-fr+f2", "en-us+f3")  # in the whole form
EFFECTS: Final[tuple[Effect, ...]] = ("sea", "rain")
STYLES: Final = ("felt piano, warm pads", "drone, flute")
SEGMENT_SECONDS: Final = 305.0
COLUMNS: Final = (
    *("music", "voice", "effect", "threshold", "voice above music", "above music and effect", "while it speaks"),
    *("between", "true peak", "duck, median", "duck, most", "back after"),
)


async def measure(options: Options) -> Report:
    found = versions(("numpy", "imageio-ffmpeg")) | {"espeak-ng": _espeak()}
    report = Report("narration", "A voice over music, by numbers", options, found)
    voices = VOICES + (MORE_VOICES if options.form == "full" else ())
    styles = STYLES if options.form == "full" else STYLES[:1]
    table = Table(f"Mixes of {options.seconds:g} s of composer's music, two lines each", COLUMNS)
    heard: dict[str, Narration] = {}
    async with watched_load() as load:
        with tempfile.TemporaryDirectory(prefix="parcours-narration-") as made:
            folder = Path(made)
            for style in styles:
                music = write_mp3(folder / "music.mp3", composed(style, "night 1", options.seconds), "-b:a", "256k")
                for voice in (each for each in voices if options.takes_part(each)):
                    for effect in EFFECTS:
                        stems = await stems_of(folder, music, voice, effect)
                        heard[f"{style}, {voice}, {effect}"] = one = await narrated(folder, stems)
                        await _tell(table, style, voice, effect, one)
            await _cost(report, folder, music)
    report.tables.append(table)
    _judge(report, list(heard.values()))
    report.picture = Picture(lambda axes: _draw(axes, heard), "gain of the music under each voice, over time", 8, 4)
    back = f"back: from a line's last sound until the music is within {BACK_WITHIN_DB:g} dB of its own level"
    report.notes += [back, str(load), "nobody has listened: all of this is numbers"]
    return report


async def _tell(table: Table, style: str, voice: str, effect: str, one: Narration) -> None:
    found, ducks = one.made.findings, sorted(one.ducks_db)
    threshold = one.made.threshold or 0.0
    table.add(
        *(style, voice, effect, f"{threshold:.3f}", f"{found['voice_margin_lu']:.1f} LU"),
        f"{await bed_margin_lu(one.stems, threshold):.1f} LU",
        *(f"{found['speech_lufs']:.1f} LUFS", f"{found['between_lufs']:.1f} LUFS", f"{found['peak_dbtp']:.1f} dBTP"),
        *(f"{ducks[len(ducks) // 2]:.1f} dB", f"{ducks[0]:.1f} dB"),
        "–".join(f"{seconds:.2f}" for seconds in sorted({min(one.recoveries), max(one.recoveries)})) + " s",
    )


async def _cost(report: Report, folder: Path, music: Path) -> None:
    """A segment of five minutes: what mixing, coding and measuring take."""
    long = folder / "long.mp3"
    options = ["-stream_loop", "-1", "-i", str(music), "-t", f"{SEGMENT_SECONDS:g}", "-b:a", "192k"]
    subprocess.run([str(FFMPEG), "-v", "error", *options, "-y", str(long)], check=True)
    stems: Stems = await stems_of(folder, long, "fr-fr", "sea", count=7)
    before = _spent()
    await mix(FFMPEG, stems, folder)
    report.figures["segment_cpu_seconds"] = spent = _spent() - before
    report.notes.append(f"mixing, coding and measuring a segment of {SEGMENT_SECONDS:g} s took {spent:.1f} CPU seconds")


def _judge(report: Report, heard: list[Narration]) -> None:
    found = [one.made.findings for one in heard]
    margins, speech = [each["voice_margin_lu"] for each in found], [each["speech_lufs"] for each in found]
    between, peaks = [each["between_lufs"] for each in found], [each["peak_dbtp"] for each in found]
    backs = [seconds for one in heard for seconds in one.recoveries]
    report.judge("voice at least 9 LU above the ducked music", min(margins) >= 9.0, _span(margins, "LU"))
    held = all(abs(each + 17.0) <= 1.5 for each in speech)
    report.judge("−17 ± 1.5 LUFS while it speaks", held, _span(speech, "LUFS"))
    report.judge(
        "music and effect at −20 ± 1 LUFS between",
        all(abs(one + 20.0) <= 1.0 for one in between),
        _span(between, "LUFS"),
    )
    report.judge("recovery 0.4–1.0 s", all(0.4 <= one <= 1.0 for one in backs), _span(backs, "s"))
    report.judge("true peak at most −1 dBTP", max(peaks) <= -1.0, _span(peaks, "dBTP"))


def _draw(axes: "Axes", heard: dict[str, Narration]) -> None:
    for name, one in heard.items():
        axes.plot([step / 100 for step in range(len(one.gains_db))], one.gains_db, label=name, linewidth=1)
    axes.set_xlim(6, 26)
    axes.set_xlabel("seconds")
    axes.set_ylabel("gain of the music, dB")
    axes.legend(frameon=False, fontsize=7)


def _span(values: list[float], unit: str) -> str:
    return f"{min(values):.2f} to {max(values):.2f} {unit}"


def _spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _espeak() -> str:
    program = shutil.which("espeak-ng") or "espeak-ng"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split(":")[1].split()[0]


if __name__ == "__main__":
    asyncio.run(measure(read(make_parser("narration", __doc__ or "", short=Form(40, 1), full=Form(40, 1))))).finish()
