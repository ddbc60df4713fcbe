"""Owns what may be read of a run and by whom: its owner sees it all, an operator its state and log, nobody else."""

from typing import Final
from uuid import UUID

from libs.common.database import Connection, Database
from libs.common.errors import Problem
from libs.common.identity import Identity
from services.gateway import storage
from services.gateway.arc_schemas import RunArc
from services.gateway.details_schemas import SegmentDetails
from services.gateway.domain import cursors
from services.gateway.domain.rates import Rate
from services.gateway.domain.rollout import Rollout
from services.gateway.links import MediaLinks
from services.gateway.schemas import RunLog, RunPage, RunView
from services.gateway.storage import Row
from services.gateway.views import log_entries, run_arc, run_summary, run_view, segment_details

OPERATOR: Final = "operator"
FEATURE: Final = "parcours_xl"
CANARY: Final = "canary"


class Visitors:
    """Keeps `users`: everybody who comes in, touched at most once a minute."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted = Rate(1)

    async def note(self, identity: Identity) -> None:
        """Write down that this user was here."""
        if self._noted.take(identity.user_id):
            return
        try:
            async with self._database.connection() as connection:
                await storage.note_seen(connection, identity.user_id, identity.tenant)
        except BaseException:
            self._noted.forget(identity.user_id)
            raise


async def require_feature(database: Database, identity: Identity) -> None:
    """Raise a 403 problem unless the rollout includes this user, or an operator listed them by hand."""
    async with database.connection() as connection:
        found = await storage.feature(connection, FEATURE, identity.user_id)
    if not (found["listed"] or Rollout(found["percent"], found["salt"]).includes(identity.user_id)):
        raise Problem(403, "feature_disabled", "This feature is not open to you yet")


async def release_track(database: Database, identity: Identity) -> str:
    """Return which track this user's new runs take (operations.md §3.4)."""
    async with database.connection() as connection:
        found = await storage.feature(connection, CANARY, identity.user_id)
    return "canary" if Rollout(found["percent"], found["salt"]).includes(identity.user_id) else "stable"


async def require_owner(database: Database, run_id: UUID, identity: Identity) -> None:
    """Raise 404 or 403 unless this user owns the run."""
    async with database.connection() as connection:
        await _accessible(connection, run_id, identity, operators=False)


async def read_run(database: Database, run_id: UUID, identity: Identity, *, links: MediaLinks) -> RunView:
    """Return a run as this reader may see it."""
    async with database.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        run = await _accessible(connection, run_id, identity, operators=True)
        return await _view(connection, run, links if run["user_id"] == identity.user_id else None)


async def owners_view(connection: Connection, run_id: UUID, *, links: MediaLinks) -> RunView:
    """Return a run for its owner, who was checked before; run, segments and last event are of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        run = await storage.run(connection, run_id)
        if run is None:
            raise _unknown()
        return await _view(connection, run, links)


async def read_log(database: Database, run_id: UUID, identity: Identity) -> RunLog:
    """Return what happened to a run, in codes."""
    async with database.connection() as connection:
        await _accessible(connection, run_id, identity, operators=True)
        history = await storage.history(connection, run_id)
        attempts = await storage.attempts(connection, run_id)
    entries = log_entries(history, attempts, for_operators=OPERATOR in identity.roles)
    return RunLog(run_id=run_id, entries=entries)


async def read_arc(database: Database, run_id: UUID, identity: Identity) -> RunArc:
    """Return planned and measured course to the owner alone: emotion and SUDS could be read off the planned one."""
    async with database.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        run = await _accessible(connection, run_id, identity, operators=False)
        return run_arc(run, await storage.segments(connection, run_id))


async def read_segment(database: Database, segment_id: UUID, identity: Identity) -> SegmentDetails:
    """Return what is known of a segment's file, to its owner alone: how loud it is follows how the person felt."""
    async with database.connection() as connection:
        segment = await storage.segment(connection, segment_id)
        if segment is None:
            raise _unknown()
        await _accessible(connection, segment["run_id"], identity, operators=False)
    return segment_details(segment)


async def list_runs(database: Database, identity: Identity, limit: int, cursor: str | None) -> RunPage:
    """Return a page of the reader's own runs, newest first."""
    before = cursors.decode(cursor) if cursor else None
    async with database.connection() as connection:
        rows = await storage.runs(connection, identity.user_id, limit + 1, before)
    shown = rows[:limit]
    return RunPage(
        runs=[run_summary(row) for row in shown],
        next_cursor=cursors.encode(_place(shown[-1])) if len(rows) > limit else None,
    )


async def _view(connection: Connection, run: Row, links: MediaLinks | None) -> RunView:
    segments = await storage.segments(connection, run["id"])
    last = await storage.last_event_id(connection, run["id"])
    return await run_view(run, segments, last, address=links.address if links else None)


async def _accessible(connection: Connection, run_id: UUID, identity: Identity, *, operators: bool) -> Row:
    run = await storage.run(connection, run_id)
    if run is None:
        raise _unknown()
    if run["user_id"] != identity.user_id and not (operators and OPERATOR in identity.roles):
        raise Problem(403, "forbidden", "This run is somebody else's")
    return run


def _place(row: Row) -> cursors.Place:
    return cursors.Place(row["created_at"], row["id"])


def _unknown() -> Problem:
    return Problem(404, "not_found", "There is no such run")
