"""Owns the four timbre sets: which voice plays which part, how loud, and how wet (§5.4)."""

from dataclasses import dataclass

SENDS = SEND_PADS, SEND_STRUCK, SEND_LOW = 1.0, 1.15, 0.15  # reverb shares; one bus each

MIDDLE_BRIGHTNESS = 0.35  # of the range .15…0.6 of plans


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice for notes that are neither pad nor bass; `shift` in semitones brings them into its register."""

    recipe: str
    gain: float
    shift: int = 0
    send: float = SEND_STRUCK


@dataclass(frozen=True, slots=True)
class TimbreSet:
    """What a listener chose by `style`; pads are a sum of a dark, a moving and an airy layer."""

    pads: float  # level of all layers together
    layer: str  # the moving one
    dark: float
    moving: float  # at the middle brightness
    air: float
    attack_seconds: float  # of a pad, at most
    opening: float  # depth of the moving layer's slow swell
    keys: Voice
    bell: Voice
    figure: Voice

    def layers(self, brightness: float, arousal: float) -> tuple[float, float, float]:
        """Gains of the dark, the moving and the airy layer; the moving one opens faster than brightness rises."""
        moving = self.moving * brightness * (brightness / MIDDLE_BRIGHTNESS) ** 0.5
        return (
            self.dark * (1 - 0.35 * brightness),
            moving,
            self.air * brightness * max(0.0, 0.10 + 0.12 * arousal),
        )


SETS: dict[str, TimbreSet] = {
    "felt": TimbreSet(
        pads=0.88,
        layer="bright",
        dark=1.0,
        moving=1.3,
        air=1.0,
        attack_seconds=4.0,
        opening=0.35,
        keys=Voice("felt", 0.18),
        bell=Voice("bell", 0.08),
        figure=Voice("felt", 0.15),
    ),
    "handpan": TimbreSet(
        pads=0.9,
        layer="bright",
        dark=1.0,
        moving=1.0,
        air=0.7,
        attack_seconds=4.0,
        opening=0.5,
        keys=Voice("handpan", 0.2),
        bell=Voice("bell", 0.09),
        figure=Voice("handpan", 0.15, shift=12),
    ),
    "strings": TimbreSet(
        pads=0.8,
        layer="string",
        dark=0.55,
        moving=2.3,
        air=0.8,
        attack_seconds=2.5,
        opening=0.25,
        keys=Voice("bowed", 0.115),
        bell=Voice("flute", 0.06, shift=12),
        figure=Voice("felt", 0.08),
    ),
    "drone": TimbreSet(
        pads=1.0,
        layer="hum",
        dark=0.8,
        moving=1.6,
        air=0.35,
        attack_seconds=4.0,
        opening=0.45,
        keys=Voice("flute", 0.07),
        bell=Voice("bowl", 0.075),
        figure=Voice("bowl", 0.05, shift=12),
    ),
}

PERCUSSION: dict[str, Voice] = {
    "pulse": Voice("pulse", 0.18, send=SEND_LOW),
    "shaker": Voice("shaker", 1.0, send=SEND_LOW),
    "clap": Voice("clap", 1.0, send=SEND_LOW),
}


def voice_of(timbre: str, part: str) -> Voice:
    """How a part that is no pad and no bass sounds in a timbre set."""
    chosen = SETS[timbre]
    return {"keys": chosen.keys, "bell": chosen.bell, "figure": chosen.figure}.get(part) or PERCUSSION[part]
