"""How the models of fal and Replicate are asked, as data: which field takes what, what comes back, what it costs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from services.generator.domain.reading import mapping, text
from services.generator.domain.request import clamped, clauses, joined, tags
from services.generator.domain.verdicts import load

LEAST_SECONDS: Final = (
    45  # the archiver completes what is longer and refuses what is shorter (audio-and-player.md §2.4)
)


@dataclass(frozen=True, slots=True)
class Length:
    """The field that takes a length, in units of which a second has `per_second`, within bounds in seconds."""

    field: str
    per_second: int
    least: int
    most: int

    def of(self, plan: Mapping[str, Any]) -> int:
        return clamped(round(plan["file_seconds"]), self.least, self.most) * self.per_second


@dataclass(frozen=True, slots=True)
class ModelForm:
    """One model. `prompt_limit`, `negative_limit` in characters; `output`: where its audio stands in the result.

    `seconds` of a model whose files are all as long.
    """

    prompt: str
    prompt_limit: int
    negative: str | None
    negative_limit: int
    length: Length | None
    seconds: int | None
    fixed: Mapping[str, Any]
    output: tuple[str, ...]
    usd: float | None
    usd_per_minute: float | None

    @property
    def is_too_short(self) -> bool:
        """Whether no file of it is long enough to be completed."""
        longest = self.seconds if self.length is None else self.length.most
        return longest is not None and longest < LEAST_SECONDS

    def fill(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """The model's input for a segment's plan; what to avoid stands in the prompt if it has no field."""
        wanted = clauses(plan, with_duration=self.length is not None)
        avoided = tags(plan)
        if self.negative is None and avoided:
            wanted.insert(1, f"without {', '.join(avoided)}")
        body: dict[str, Any] = {**self.fixed, self.prompt: joined(wanted, self.prompt_limit)}
        if self.negative is not None and avoided:
            body[self.negative] = joined(avoided, self.negative_limit)
        if self.length is not None:
            body[self.length.field] = self.length.of(plan)
        return body

    def audio(self, result: object) -> list[str]:
        """The addresses of the audio in a result: each an object with `url` or a bare address, alone or in a list."""
        found: list[str] = []
        for name in self.output:
            value = mapping(result).get(name)
            for each in value if isinstance(value, list) else [value]:
                url = text(mapping(each).get("url")) or text(each)
                found += [url] if url and url not in found else []
        return found

    def cost(self, plan: Mapping[str, Any]) -> float | None:
        """What a file costs by the price list, in US dollars; minutes begun count whole."""
        if self.usd_per_minute is None:
            return self.usd
        seconds = plan["file_seconds"] if self.length is None else self.length.of(plan) / self.length.per_second
        return round(self.usd_per_minute * math.ceil(seconds / 60), 4)


@cache
def model_form(table: str, model: str) -> ModelForm:
    """One row of a table of models; KeyError for a model that is not in it."""
    row = load(table)[model]
    length = row.get("length")
    return ModelForm(
        prompt=row["prompt"],
        prompt_limit=row["prompt_limit"],
        negative=row.get("negative"),
        negative_limit=row.get("negative_limit", 0),
        length=None if length is None else Length(**length),
        seconds=row.get("seconds"),
        fixed=row.get("fixed", {}),
        output=tuple(row["output"]),
        usd=row.get("usd"),
        usd_per_minute=row.get("usd_per_minute"),
    )


def known_models(table: str) -> tuple[str, ...]:
    """The models of a table, Suno's too."""
    return tuple(name for name in load(table) if name != "default")
