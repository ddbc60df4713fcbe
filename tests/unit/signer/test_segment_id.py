"""What `POST /sign-track` takes for an id."""

import uuid

import orjson
import pytest

from libs.common.errors import Problem
from services.signer.routes import _segment_id


def test_an_id_is_the_canonical_spelling_of_a_uuid() -> None:
    segment_id = uuid.uuid4()
    assert _segment_id(orjson.dumps({"segmentId": str(segment_id)})) == segment_id


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"[]", b"{}", b"7", b"null", b'"segmentId"', b'{"segmentId": 7}', b'{"segmentId": null}'),
        *(b'{"segmentId": "x"}', b'{"segmentId": "' + b"x" * 36 + b'"}', b'{"segmentId": []}', b"\xff" * 40),
        b'{"segmentId": "{12345678-1234-1234-1234-123456789abc}"}',
        orjson.dumps({"segmentId": list("x" * 36)}),
    ],
)
def test_anything_else_is_a_malformed_id(raw: bytes) -> None:
    with pytest.raises(Problem) as refused:
        _segment_id(raw)
    assert (refused.value.status, refused.value.code) == (400, "malformed_id")
