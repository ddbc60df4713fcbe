"""Owns the archiver's environment."""

from pydantic import Field, SecretStr

from libs.common.errors import SettingError
from libs.common.settings import (
    CommaList,
    DatabaseSettings,
    FfmpegSettings,
    KafkaSettings,
    ObjectSettings,
    PeerSettings,
    ProviderFileSettings,
    ProviderSettings,
    ServiceSettings,
    SunoSettings,
)
from services.archiver.domain.addresses import PROVIDER_HOSTS, AllowList
from services.archiver.domain.gate import BlockList, Mode, Policy


class Settings(
    ServiceSettings,
    DatabaseSettings,
    KafkaSettings,
    ObjectSettings,
    PeerSettings,
    ProviderSettings,
    SunoSettings,
    ProviderFileSettings,
    FfmpegSettings,
):
    """What the archiver reads."""

    archiver_workers: int = Field(default=2, ge=1, le=64)  # finals at once: each may keep one core busy for 10 s
    archiver_previews: int = Field(default=32, ge=1, le=256)  # previews at once: they wait for the network

    composer_api_key: SecretStr = SecretStr("")  # the key that composer asks for, if it does

    gate: Mode = Mode.ENFORCE  # record: judged and kept all the same
    gate_blocked: CommaList = ()  # SHA-256 or acoustic hashes in hex, besides those of the data

    def policy(self) -> Policy:
        """How strict the quality gate is; raises SettingError for a hash that is none."""
        try:
            return Policy(self.gate, BlockList.with_ours(self.gate_blocked))
        except ValueError as error:
            raise SettingError(str(error)) from error

    def allowed(self) -> AllowList:
        """Where files may come from: the configured hosts, else those of the configured providers."""
        names = self.providers or (("suno",) if self.suno_api_key.get_secret_value() else ())
        hosts = self.provider_file_hosts or tuple(host for name in names for host in PROVIDER_HOSTS.get(name, ()))
        return AllowList.of(hosts, self.provider_file_private_origins)
