"""Outbound calls: the music providers, each in its dialect, and the callback's internal route."""

from services.generator.clients.callback import CallbackClient
from services.generator.clients.dialect import Access
from services.generator.clients.music import DIALECTS, MusicClient
from services.generator.clients.transport import open_http

__all__ = ["DIALECTS", "Access", "CallbackClient", "MusicClient", "open_http"]
