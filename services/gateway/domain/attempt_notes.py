"""What became of an attempt, in words: for the run's log, which its owner and operators read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]

_FAILED: Final = 4  # ranks of performance-and-reliability.md §4.1
_DELIVERED: Final = 5
_STORED: Final = 6


def attempt_notes(row: Row, beside: Sequence[Row], *, for_operators: bool = False) -> list[str]:
    """Sentences about one attempt among all attempts of its segment, in the order in which things happened.

    What the account holds is told `for_operators` alone, here as where they read of the providers.
    """
    money = _money(row, beside, for_operators=for_operators)
    return [*_beginning(row, beside), *_reply(row), *_waiting(row), *_ending(row, beside), *money]


def _beginning(row: Row, beside: Sequence[Row]) -> Iterator[str]:
    if row["bridge"]:
        yield "bridged: asked beside another attempt, so that the listener need not wait"
    before = [other for other in beside if other["attempt_no"] < row["attempt_no"]]
    for other in before[-1:]:
        if other["facts"].get("possible_double_charge") and other["facts"].get("given_up_by") != "operator":
            yield f"resent after silence: nobody answered attempt {other['attempt_no']}"
        if other["facts"].get("given_up_by") == "operator":
            yield "asked for by an operator"


def _reply(row: Row) -> Iterator[str]:
    accepted = row["provider_task_id"] is not None
    if row["outcome"] == "refused":
        yield f"refused ({row['error_code']}): nothing was accepted, nothing paid"
    elif accepted and not row["facts"].get("replied"):
        yield "its reply was never read: a callback with its token adopted the task"
    elif not accepted and row["ambiguous_at"] is not None and row["alive"]:
        yield "no reply was read: perhaps accepted, a callback may still adopt it"


def _waiting(row: Row) -> Iterator[str]:
    gave_up = row["gave_up_rank"]
    if gave_up is None:
        return
    if row["rank"] > gave_up:
        yield "given up, and then heard of after all"
    elif row["facts"].get("given_up_by") == "operator":
        yield "given up by an operator"
    elif gave_up == 1:
        yield "given up: neither a reply nor a callback came in time"
    elif gave_up < _FAILED:
        yield "given up: no news for too long"
    else:
        yield "given up: what it delivered could not be used"


def _ending(row: Row, beside: Sequence[Row]) -> Iterator[str]:
    if row["rank"] == _FAILED:
        yield f"failed at the provider ({row['error_code']})"
    elif row["rank"] == _STORED:
        yield "stored: it is the segment's file"
    elif row["rank"] == _DELIVERED and _is_surplus(row, beside):
        paid = "paid for nothing" if row["cost"] else "it cost nothing"
        yield f"surplus: another attempt was stored first, {paid}"


def _money(row: Row, beside: Sequence[Row], *, for_operators: bool) -> Iterator[str]:
    facts = row["facts"]
    if facts.get("possible_double_charge"):
        balances = f" ({_balances(facts)})" if for_operators else ""
        yield f"double charge possible: the segment was asked for again{balances}"
    surplus = row["surplus_task_ids"] or []
    if surplus and row["attempt_no"] == min(other["attempt_no"] for other in beside):
        yield f"surplus: the provider made {len(surplus)} more for one attempt: {', '.join(map(str, surplus))}"


def _balances(facts: Mapping[str, Any]) -> str:
    """The balance of the account before and after: evidence for whoever asks the provider for it back."""
    names = {"credits_before": "before", "credits_when_ambiguous": "without a reply", "credits_when_resent": "resent"}
    known = [f"{when} {facts[name]:g}" for name, when in names.items() if isinstance(facts.get(name), int | float)]
    return f"credits {', '.join(known)}" if known else "credits unknown"


def _is_surplus(row: Row, beside: Sequence[Row]) -> bool:
    stored = any(other["rank"] == _STORED for other in beside)
    return stored or bool(row["facts"].get("surplus"))
