"""Owns the environment of composer."""

import os

from pydantic import Field, SecretStr

from libs.common.settings import CommaNumbers, PeerSettings, ProviderSettings, ServiceSettings


class Settings(ServiceSettings, PeerSettings, ProviderSettings):
    """`COMPOSER_URL` is this service's own address as others reach it; it stands in the links of callbacks."""

    composer_api_key: SecretStr = SecretStr("")  # empty: no key asked for
    composer_workers: int = Field(default=os.cpu_count() or 1, ge=1, le=64)  # processes; one per core
    composer_max_jobs: int = Field(default=40, ge=1)  # unfinished jobs; beyond it code 430, as the reseller throttles
    composer_max_kept: int = Field(default=200, ge=1)  # finished jobs whose files are kept; 200 · 9 MB of disk
    composer_keep_seconds: float = Field(default=3600.0, gt=0)  # s; the archiver copies within minutes
    # s before each repeat of a callback; the reseller repeats 3 times and documents no spacing (providers.md §1A)
    composer_callback_retry_seconds: CommaNumbers = (5.0, 30.0, 120.0)
    composer_callback_timeout_seconds: float = Field(default=15.0, gt=0)  # s; providers.md §1A

    @property
    def is_expected(self) -> bool:
        """Whether anybody may call at any time; else the workers, 300 MB each, are started by the first who does."""
        return not self.providers or "composer" in self.providers

    @property
    def retry_seconds(self) -> tuple[float, ...]:
        return tuple(seconds * self.time_scale for seconds in self.composer_callback_retry_seconds)
