"""The model's words: a leased job, a question outside any transaction, and one transaction that writes what passed."""

from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from libs.common import logs
from libs.common.database import Channel, Connection, Database
from libs.common.events import RunEnriched
from libs.common.fault_points import reach
from libs.common.lifecycle import lock_run
from libs.common.log_events import LogEvent
from libs.common.outbox import announce
from services.create import storage
from services.create.domain.errors import NoWordsError
from services.create.domain.model_words import Applied, apply_model_words
from services.create.domain.prompt import Prompt, prompt_for
from services.create.domain.stored_segment import stored_segment
from services.create.domain.texts import RunTexts
from services.create.storage import Script, TextJob

Change = Literal["brief", "titles", "lines", "colour"]

MOST_TRIES: Final = 3  # leases of one job; a process that dies on it thrice is not helped by a fourth

_CHANGES: Final[dict[str, Change]] = {"brief": "brief", "title": "titles", "lines": "lines", "colour": "colour"}

_log = logs.get_logger()


class Author(Protocol):
    """Whoever writes words: gives the decoded JSON of its answer, of whatever shape, or raises `NoWordsError`."""

    async def write(self, prompt: Prompt) -> object: ...


@dataclass(frozen=True, slots=True)
class _Enriched:
    """What will be written; `changed` is empty when nothing of the answer passed."""

    texts: RunTexts
    changed: tuple[Change, ...]


async def enrich_one(database: Database, author: Author, *, lease_seconds: float) -> bool:
    """Do the oldest text job that nobody holds; false when there is none.

    Whatever the model does, the job ends and the run keeps at least its templates. When this process dies, the lease
    runs out and another one asks again.
    """
    async with database.connection() as connection:
        job = await storage.lease_text_job(connection, lease_seconds)
        script = None if job is None else await storage.read_script(connection, job.run_id)
    if job is None:
        return False
    reach("after_text_lease")
    if script is None or job.tries > MOST_TRIES:
        _log.warning(LogEvent.WORDS_ABANDONED, run_id=str(job.run_id), tries=job.tries)
        await _forget(database, job)
        return True
    try:
        answer = await author.write(prompt_for(script.plan, script.texts.locale))
    except NoWordsError as error:
        _log.warning(LogEvent.WORDS_MISSING, run_id=str(job.run_id), reason=error.reason)
        await _forget(database, job)
        return True
    await _apply(database, job, script, apply_model_words(script.plan, script.texts, answer))
    return True


async def begin_unheard(database: Database, group: str, *, seconds: float) -> int:
    """Give a text job to runs whose news was lost on its way, as if it had come; how many there were."""
    async with database.transaction(Channel.TEXTS) as connection:
        runs = await storage.hear_unheard(connection, group, seconds)
        for run_id in runs:
            await storage.insert_text_job(connection, run_id)
    return len(runs)


async def _forget(database: Database, job: TextJob) -> None:
    async with database.connection() as connection:
        await storage.finish_text_job(connection, job)


async def _apply(database: Database, job: TextJob, script: Script, applied: Applied) -> None:
    """Write what passed, unless the lease was lost: then another process writes."""
    async with database.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, job.run_id)
        if not await storage.finish_text_job(connection, job):
            return
        open_indexes = await storage.unrequested_indexes(connection, job.run_id)
        enriched = _within(applied, script, open_indexes)
        if enriched.changed:
            await _write(connection, job, script, enriched.texts, open_indexes)
            await announce(connection, RunEnriched(run_id=job.run_id, changed=list(enriched.changed)))
        reach("before_text_commit")
    _log.info(LogEvent.WORDS_WRITTEN, run_id=str(job.run_id), changed=list(enriched.changed), dropped=applied.dropped)


async def _write(
    connection: Connection, job: TextJob, script: Script, texts: RunTexts, open_indexes: frozenset[int]
) -> None:
    await storage.write_texts(connection, job.run_id, texts)
    for index, words in enumerate(texts.segments):
        if index in open_indexes:
            segment = stored_segment(script.plan, index, texts, narrated=script.narrated)
            await storage.rewrite_segment(connection, job.run_id, segment)
        else:
            await storage.retitle_segment(connection, job.run_id, index, words.title)


def _within(applied: Applied, script: Script, open_indexes: frozenset[int]) -> _Enriched:
    """Leave out what of a segment was requested already: its colour, and its lines where they are spoken."""
    ordered = {"colour", "lines"} if script.narrated else {"colour"}
    segments = tuple(
        words
        if index in open_indexes
        else replace(words, colour=None, lines=own.lines if script.narrated else words.lines)
        for index, (words, own) in enumerate(zip(applied.texts.segments, script.texts.segments, strict=True))
    )
    changed: dict[Change, None] = {}
    for name in applied.changed:
        *place, field = name.split(".")
        if field not in ordered or int(place[-1]) in open_indexes:
            changed[_CHANGES[field]] = None
    return _Enriched(replace(applied.texts, segments=segments), tuple(changed))
