"""Owns what the gateway reads from its environment."""

from pydantic import Field

from libs.common.settings import (
    DatabaseSettings,
    EdgeSettings,
    IdentitySettings,
    ObjectSettings,
    PeerSettings,
    PublicSettings,
    ServiceSettings,
    SigningSettings,
)


class Settings(
    ServiceSettings,
    DatabaseSettings,
    ObjectSettings,
    IdentitySettings,
    SigningSettings,
    PeerSettings,
    PublicSettings,
    EdgeSettings,
):
    """The edge: its limits and the streams it keeps open."""

    user_requests_per_minute: int = Field(default=60, ge=1)
    address_requests_per_minute: int = Field(default=600, ge=1)  # several people behind one address
    stream_queue: int = Field(default=64, ge=1)  # events one reader may lag; performance-and-reliability.md §6
    stream_heartbeat_seconds: float = Field(default=15.0, gt=0)  # proxies close silent connections after 30-60 s
    peer_timeout_seconds: float = Field(default=10.0, gt=0)  # the slowest peer answers in milliseconds
    demo_sessions: bool = False  # the embedded stack alone: anybody who reaches it may be a user
