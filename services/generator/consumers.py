"""Kafka in: the two topics the generator hears, each with its handler."""

from functools import partial

from libs.common.consumers import Consumers
from libs.common.database import Channel
from libs.common.events import SegmentFailed, SegmentRequested
from services.generator.handlers.failed import attempt_failed
from services.generator.handlers.requested import segment_requested
from services.generator.handlers.resources import Resources


def subscribe(consumers: Consumers, resources: Resources) -> None:
    """Bind `segment.requested` and `segment.failed`; both end in rows, the work is done by the loops."""
    # It announces nothing: a look at the outbox would only delay the claim that follows at once.
    consumers.on(SegmentRequested, partial(segment_requested, resources=resources), wakes=(Channel.QUEUE,))
    consumers.on(SegmentFailed, partial(attempt_failed, resources=resources))
