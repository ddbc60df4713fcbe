"""Owns how an order's file gets its label: the bytes in front of it, and what is kept of it with the segment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from services.archiver.domain.labels import Label, Origin, label_of, makers_of, tag_of
from services.archiver.sound import coding
from services.archiver.storage import Order


def label_for(order: Order, parts: Sequence[Mapping[str, Any]]) -> Label:
    """The label of a file that these parts make."""
    return label_of(_origin(order), makers_of(order.provider, order.facts, parts), parts)


def tagging(order: Order) -> coding.Label:
    """What writes the label in front of an order's file, once its parts are known."""
    return partial(_tag, order)


def label_of_mix(order: Order, parts: Sequence[Mapping[str, Any]], voice: str) -> tuple[bytes, dict[str, Any]]:
    """The label of a file in which a voice speaks over these parts, and what is kept of it."""
    label = replace(label_for(order, parts), voice=voice)
    return tag_of(label, _origin(order)), label.record()


def _tag(order: Order, parts: Sequence[Mapping[str, Any]]) -> bytes:
    return tag_of(label_for(order, parts), _origin(order))


def _origin(order: Order) -> Origin:
    return Origin(order.locale, order.segment_index, order.segments_count, order.plan_hash)
