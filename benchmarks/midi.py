"""Owns the composer's score as a MIDI file, so that a synthesiser of somebody else plays the same notes."""

import struct
from collections.abc import Iterable, Iterator, Sequence

from services.composer.engine.notes import Note
from services.composer.engine.plan import SAMPLE_RATE

TICKS_PER_SECOND = 960  # 480 a quarter note at 120 a minute, MIDI's default
QUARTER_TICKS = 480
DRUMS = 9
# Each pad voice has two channels in turn: on one, the end of an old note would cut off a new one of the same pitch.
PAD_CHANNELS = tuple(range(8))
CHANNELS = {"bass": 8, "keys": 10, "bell": 11, "figure": 10, "pulse": DRUMS, "shaker": DRUMS, "clap": DRUMS}
PROGRAMS = {**dict.fromkeys(PAD_CHANNELS, 48), 8: 32, 10: 0, 11: 11}  # strings, bass, piano, vibraphone
STRUCK = {"pulse": 36, "shaker": 70, "clap": 39}
CENTRE = 64


def midi_of(notes: Sequence[Note], samples: int) -> bytes:
    """A file of one track that ends after exactly so many samples; notes that begin later are left out."""
    end = round(samples / SAMPLE_RATE * TICKS_PER_SECOND)
    events = sorted(_events(notes, end), key=lambda event: event[0])
    track, now = bytearray(), 0
    for tick, message in [*_set_up(), *events, (end, b"\xff\x2f\x00")]:
        track += variable(tick - now) + message
        now = tick
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, QUARTER_TICKS)
    return header + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _set_up() -> Iterator[tuple[int, bytes]]:
    for channel, program in PROGRAMS.items():
        yield 0, bytes((0xC0 | channel, program))
    for channel in PAD_CHANNELS:
        yield 0, bytes((0xB0 | channel, 10, CENTRE + (-40, -16, 16, 40)[channel % 4]))


def _events(notes: Iterable[Note], end: int) -> Iterator[tuple[int, bytes]]:
    pads = 0
    for note in notes:
        begin = max(0, round(note.start * TICKS_PER_SECOND))
        until = min(end, round((note.start + note.seconds) * TICKS_PER_SECOND))
        if note.part == "pad":
            channel, pads = PAD_CHANNELS[pads % len(PAD_CHANNELS)], pads + 1
        else:
            channel = CHANNELS[note.part]
        if begin >= until:
            continue
        pitch = STRUCK.get(note.part, note.pitch)
        yield begin, bytes((0x90 | channel, pitch, max(1, min(127, round(127 * note.velocity)))))
        yield until, bytes((0x80 | channel, pitch, 0))


def variable(number: int) -> bytes:
    """MIDI's numbers: seven bits a byte, the last without its eighth."""
    content = [number & 0x7F]
    while number := number >> 7:
        content.append(number & 0x7F | 0x80)
    return bytes(reversed(content))
