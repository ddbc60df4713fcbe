"""Owns the claims about ranges that need no file."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.byte_range import (
    ByteRange,
    UnsatisfiableError,
    is_whole,
    open_range,
    requested_range,
    tag_listed,
    validator_matches,
)


@given(st.text(max_size=40), st.integers(min_value=0, max_value=10**9))
def test_whatever_is_sent_is_a_range_inside_the_file_or_none_or_refused(header: str, size: int) -> None:
    for text in (header, f"bytes={header}", f"bytes={header}-"):
        try:
            found = requested_range(text, size)
        except UnsatisfiableError:
            continue
        assert found is None or 0 <= found.start < found.stop <= size


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 1000))
def test_a_well_formed_range_means_what_the_rfc_says(first: int, last: int, size: int) -> None:
    if last < first:
        assert requested_range(f"bytes={first}-{last}", size) is None
    elif first >= size:
        with pytest.raises(UnsatisfiableError):
            requested_range(f"bytes={first}-{last}", size)
    else:
        assert requested_range(f"bytes={first}-{last}", size) == ByteRange(first, min(last + 1, size))


def test_an_empty_file_has_no_range() -> None:
    for header in ("bytes=0-", "bytes=-1"):
        with pytest.raises(UnsatisfiableError):
            requested_range(header, 0)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        *(("bytes=7-", (7, sys.maxsize)), ("bytes=7-9", (7, 3)), ("bytes=0-1", (0, 2)), ("bytes=9-7", (9, 1))),
        *((None, None), ("x", None), ("bytes=0-", None), ("bytes=-5", None), ("bytes=" + "9" * 99 + "-", None)),
    ],
)
def test_of_a_growing_file_a_piece_is_asked_for_or_all_of_it(
    header: str | None, wanted: tuple[int, int] | None
) -> None:
    assert is_whole(header) is (wanted is None)
    assert open_range(header) == (wanted or (0, sys.maxsize))


def test_digits_of_other_scripts_are_no_numbers() -> None:
    assert requested_range("bytes=٠-٩", 100) is None


def test_only_our_own_strong_tag_keeps_a_range() -> None:
    assert validator_matches(None, '"a"')
    assert validator_matches('"a"', '"a"')
    assert not validator_matches('W/"a"', '"a"')
    assert tag_listed('W/"b", "a"', '"a"')
    assert not tag_listed(None, '"a"')
