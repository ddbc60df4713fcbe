"""What operators type about the providers' quota: look at the slots, stop an account for a while, open it again."""

import asyncio
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from rich.table import Table

from libs.common.database import Channel
from stack.errors import StackError
from stack.folder import DataFolder, default_folder
from stack.operator_commands import AsJson, Data, open_stack_database, print_table

MOST_SIGNS = 40  # of one row

quota = typer.Typer(help="What each provider account may be asked, and what it is asked now.", no_args_is_help=True)

Account = Annotated[str | None, typer.Argument(help="An account of `quota show`; none means all.")]


@quota.command("show")
def show(account: Account = None, data: Data = default_folder(), as_json: AsJson = False) -> None:  # noqa: B008, FBT002 - options
    """Show each account's slots, its state and its balance.

    Of the slots, # is busy or resting, . is free, x was taken away by throttling.
    """
    accounts = asyncio.run(_read(DataFolder(data), account))
    if as_json:
        typer.echo(orjson.dumps(accounts, option=orjson.OPT_INDENT_2).decode())
    else:
        print_table(_table(accounts))


@quota.command("freeze")
def freeze(
    account: Account = None,
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=0, help="Seconds; else one lease, by which every call of before has ended."),
    ] = None,
    data: Data = default_folder(),  # noqa: B008
) -> None:
    """Let nothing be asked for a while, as after a restore or a fail-over of the database; replies are still read."""
    frozen = asyncio.run(_freeze(DataFolder(data), account, seconds))
    for row in frozen:
        typer.echo(f"{row['account']}: frozen for {row['seconds']:.1f} s")


@quota.command("open")
def open_account(account: Account = None, data: Data = default_folder()) -> None:  # noqa: B008
    """Open what is closed (wallet, key, breaker) and end a freeze."""
    for row in asyncio.run(_open(DataFolder(data), account)):
        typer.echo(f"{row['account']}: open" + (f", was closed: {row['reason']}" if row["reason"] else ""))


async def _read(folder: DataFolder, account: str | None) -> list[dict[str, Any]]:
    async with open_stack_database(folder) as database, database.connection() as connection:
        rows = [dict(row) for row in await connection.fetch(_SHOW, account)]
    _refuse_unknown(account, rows)
    return [row | {"slots": [round(max(0.0, float(left)), 3) for left in row["slots"]]} for row in rows]


async def _freeze(folder: DataFolder, account: str | None, seconds: float | None) -> list[asyncpg.Record]:
    async with open_stack_database(folder) as database, database.transaction() as connection:
        rows = list(await connection.fetch(_FREEZE, account, seconds))
    _refuse_unknown(account, rows)
    return rows


async def _open(folder: DataFolder, account: str | None) -> list[asyncpg.Record]:
    async with open_stack_database(folder) as database, database.transaction(Channel.QUEUE) as connection:
        rows = list(await connection.fetch(_OPEN, account))
    _refuse_unknown(account, rows)
    return rows


def _refuse_unknown(account: str | None, rows: list[Any]) -> None:
    if account is not None and not rows:
        raise StackError(f"there is no account {account}; `parcours quota show` lists them")


def _table(accounts: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in ("account", "provider", "slots", "allowed", "next free", "in flight", "waiting", "state", "balance"):
        table.add_column(heading, no_wrap=True)
    for row in accounts:
        table.add_row(
            row["account"],
            row["provider"],
            picture(row["slots"], row["slots_allowed"]),
            f"{row['slots_allowed']}/{row['slots_contract']}",
            _next_free(row["slots"][: row["slots_allowed"]]),
            str(row["in_flight"]) + (f"/{row['max_in_flight']}" if row["max_in_flight"] else ""),
            str(row["waiting"]),
            _state(row),
            "" if row["balance"] is None else f"{row['balance']:g}",
        )
    return table


def picture(seconds_left: list[float], allowed: int) -> str:
    """One sign a slot: # busy or resting, . free, x taken away by throttling; in numbers where they are too many."""
    if len(seconds_left) > MOST_SIGNS:
        return f"{sum(left > 0 for left in seconds_left[:allowed])} busy"
    return "".join(
        "x" if number > allowed else "#" if left > 0 else "." for number, left in enumerate(seconds_left, start=1)
    )


def _next_free(seconds_left: list[float]) -> str:
    soonest = min(seconds_left, default=0.0)
    return "now" if soonest <= 0 else f"in {soonest:.1f} s"


def _state(row: dict[str, Any]) -> str:
    if row["frozen_seconds"] > 0:
        return f"frozen for {row['frozen_seconds']:.1f} s"
    if row["close_reason"] is None:
        return "open"
    if row["closed_seconds"] is None:
        return f"closed: {row['close_reason']}"
    if row["closed_seconds"] > 0:
        return f"closed: {row['close_reason']}, probe in {row['closed_seconds']:.1f} s"
    return f"probing: {row['close_reason']}"


# `slots`: seconds until each is free, by number. `closed_seconds`: null when nothing but a sweep or a person opens it.
_SHOW = """
SELECT a.account, a.provider, a.slots_contract, a.slots_allowed, a.max_in_flight, a.close_reason,
  extract(epoch FROM a.hold)::float8 AS hold_seconds, extract(epoch FROM a.lease)::float8 AS lease_seconds,
  CASE WHEN a.closed_until < 'infinity'
    THEN extract(epoch FROM a.closed_until - clock_timestamp())::float8 END AS closed_seconds,
  greatest(0, extract(epoch FROM a.frozen_until - clock_timestamp()))::float8 AS frozen_seconds,
  a.balance::float8 AS balance, attempts_in_flight(a.account) AS in_flight,
  (SELECT count(*) FROM generation_queue q WHERE q.provider = a.provider) AS waiting,
  ARRAY (SELECT extract(epoch FROM s.free_at - clock_timestamp())::float8 FROM quota_slots s
         WHERE s.account = a.account AND s.slot_no <= a.slots_contract ORDER BY s.slot_no) AS slots
FROM quota_accounts a WHERE $1::text IS NULL OR a.account = $1 ORDER BY a.provider, a.account
"""
_FREEZE = """
UPDATE quota_accounts
SET frozen_until = greatest(frozen_until, clock_timestamp() + coalesce(make_interval(secs => $2), lease))
WHERE $1::text IS NULL OR account = $1
RETURNING account, extract(epoch FROM frozen_until - clock_timestamp())::float8 AS seconds
"""
_OPEN = """
UPDATE quota_accounts a SET close_reason = NULL, closed_until = 'epoch', frozen_until = 'epoch',
  breaker_since = clock_timestamp(),
  restored_at = clock_timestamp()
FROM (SELECT account, close_reason FROM quota_accounts WHERE $1::text IS NULL OR account = $1 FOR UPDATE) old
WHERE a.account = old.account RETURNING a.account, old.close_reason AS reason
"""
