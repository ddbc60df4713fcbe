"""Owns how an error leaves a service over HTTP: an RFC 9457 document with a stable `code`, no trace, no value sent."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import asyncpg
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from libs.common import logs
from libs.common.database import UNAVAILABLE
from libs.common.errors import Problem
from libs.common.log_events import LogEvent

MEDIA_TYPE = "application/problem+json"

# The database is away, full, or took our transaction back: nothing was accepted, the same request may succeed.
_PASSING = (*UNAVAILABLE, asyncpg.TransactionRollbackError)
_RETRY_AFTER_S = 2  # a pool's acquire time-out; PostgreSQL restarts in less

# Codes of problems that no code of ours raises: routing, decoding, the server itself.
_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_encoding",
    416: "range_not_satisfiable",
    422: "invalid_request",
    429: "too_many_requests",
    500: "internal",
    502: "bad_gateway",
    503: "unavailable",
    504: "gateway_timeout",
}

# Texts of pydantic that are made of the schema alone. All others may quote what was sent (a tag, a character of an id).
_SAFE_MESSAGES = frozenset(
    {
        *("missing", "extra_forbidden", "enum", "literal_error"),
        *(
            "bool_parsing",
            "bool_type",
            "dict_type",
            "float_parsing",
            "float_type",
            "int_from_float",
            "int_parsing",
            "int_type",
        ),
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
        *("list_type", "string_type", "string_too_long", "string_too_short", "too_long", "too_short"),
    },
)
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_ROUTED_BY = ("type", "path", "root_path", "headers", "app")  # of a request's scope; the rest is this routing's outcome
_MAX_ERRORS = 20  # more help nobody, and a body of 64 KiB could ask for thousands

_log = logs.get_logger()


def install(app: FastAPI) -> None:
    """Give the application the handlers for our problems, HTTP errors, refused input and a database that is away.

    500 is the middleware's (`http.py`).
    """
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_refused_input)
    for passing in _PASSING:
        app.add_exception_handler(passing, _on_passing)


def from_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem that stands for a bare HTTP status."""
    return Problem(status, _CODES.get(status, f"http_{status}"), headers=headers)


def response(problem: Problem) -> Response:
    """Render a problem; errors are never kept by a cache."""
    headers = {"cache-control": "no-store", **problem.headers}
    return Response(orjson.dumps(problem.document()), problem.status, headers, MEDIA_TYPE)


def _on_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise TypeError(f"expected a Problem, found {type(error).__name__}")
    return response(error)


def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError(f"expected an HTTPException, found {type(error).__name__}")
    if error.status_code < HTTPStatus.BAD_REQUEST:  # redirects are raised as errors too
        return Response(status_code=error.status_code, headers=dict(error.headers or {}))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(request)):
        headers["Allow"] = ", ".join(methods)
    return response(from_status(error.status_code, headers))


def _methods(request: Request) -> list[str]:
    """Every method that the address answers to: the router's own answer names those of the first route alone."""
    bare = {name: value for name, value in request.scope.items() if name in _ROUTED_BY}
    return [
        method
        for method in _METHODS
        if any(route.matches(bare | {"method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _on_passing(_request: Request, error: Exception) -> Response:
    _log.warning(LogEvent.DEPENDENCY_UNAVAILABLE, error=logs.describe_error(error))
    return response(from_status(503, {"retry-after": str(_RETRY_AFTER_S)}))


def _on_refused_input(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"expected a RequestValidationError, found {type(error).__name__}")
    return response(refused_input(error.errors()))


def refused_input(errors: Sequence[Mapping[str, object]]) -> Problem:
    """Turn pydantic's errors into one problem that names fields, never values.

    A malformed path parameter or a body that is no JSON is 400 (architecture.md §7); a refused value is 422.
    """
    if any(error["type"] == "json_invalid" for error in errors):
        return Problem(400, "malformed_json", "The body is not valid JSON")
    fields = [_describe(error) for error in errors[:_MAX_ERRORS]]
    if any(_location(error)[:1] == ("path",) for error in errors):
        return Problem(400, "malformed_id", "A part of the path is malformed", members={"errors": fields})
    return Problem(422, "invalid_request", "The request was understood but refused", members={"errors": fields})


def _describe(error: Mapping[str, object]) -> dict[str, str]:
    kind = str(error["type"])
    message = str(error["msg"]) if kind in _SAFE_MESSAGES else "Input is not valid"
    return {"field": ".".join(map(_part, _location(error))), "code": kind, "message": message}


def _location(error: Mapping[str, object]) -> tuple[object, ...]:
    location = error["loc"]
    return tuple(location) if isinstance(location, tuple | list) else (location,)


def _part(part: object) -> str:
    """Keep positions and names that look like field names; another key is the caller's own text."""
    text = str(part)
    return text if isinstance(part, int) or _FIELD_NAME.fullmatch(text) else "…"
