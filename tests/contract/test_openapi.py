"""The edge's recorded description is what the code serves."""

from stack import openapi_file


def test_the_recorded_openapi_document_is_the_one_the_gateway_serves() -> None:
    assert openapi_file.PATH.read_bytes() == openapi_file.text(), "write it anew: make contracts"
