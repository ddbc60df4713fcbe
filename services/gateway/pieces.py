"""Owns answers made of pieces: the first is taken before the status is sent, the source is closed in any case."""

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Primed:
    """A stream whose first piece is here already."""

    def __init__(self, first: bytes | None, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> "Primed":
        return self

    async def __anext__(self) -> bytes:
        if self._first is None:
            return await anext(self._rest)
        piece, self._first = self._first, None
        return piece

    async def aclose(self) -> None:
        """Close the source, as far as it can be closed."""
        close = getattr(self._rest, "aclose", None)
        if close is not None:
            await close()


async def primed(stream: AsyncIterator[bytes]) -> Primed:
    """Take the first piece now, so that its failure is an answer of its own and not a broken stream."""
    return Primed(await anext(stream, None), stream)


class PiecesResponse(StreamingResponse):
    """Sends the pieces, and closes their source at once when the reader goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if isinstance(self.body_iterator, Primed):
                await self.body_iterator.aclose()
