"""Owns the archiver's environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from libs.common.errors import SettingError
from libs.common.settings import (
    Address,
    CommaList,
    DatabaseSettings,
    FfmpegSettings,
    Group,
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


class NarrationSettings(Group):
    """Whose voice speaks the lines of a narrated run, and whose effects lie under it."""

    narration_tts: Literal["espeak", "elevenlabs", "openai", "google"] = "espeak"
    espeak: Path | None = None  # None: espeak-ng on the path
    elevenlabs_api_key: SecretStr = SecretStr("")
    elevenlabs_base_url: Address = "https://api.elevenlabs.io"
    elevenlabs_model: str = "eleven_multilingual_v2"
    elevenlabs_voice: str = "JBFqnCBsd6RMkjVDRZzb"
    openai_tts_api_key: SecretStr = SecretStr("")
    openai_tts_base_url: Address = "https://api.openai.com/v1"
    openai_tts_model: str = "gpt-4o-mini-tts"
    openai_tts_voice: str = "sage"
    google_tts_api_key: SecretStr = SecretStr("")
    google_tts_base_url: Address = "https://texttospeech.googleapis.com"
    freesound_api_key: SecretStr = SecretStr("")  # its terms are the operator's: free for non-commercial use only
    freesound_base_url: Address = "https://freesound.org/apiv2"
    freesound_file_hosts: CommaList = ("cdn.freesound.org",)  # where its previews lie


class Settings(
    NarrationSettings,
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

    def freesound_allowed(self) -> AllowList:
        """Where Freesound's files may come from."""
        return AllowList.of(self.freesound_file_hosts, self.provider_file_private_origins)

    def allowed(self) -> AllowList:
        """Where files may come from: the configured hosts, else those of the configured providers."""
        names = self.providers or (("suno",) if self.suno_api_key.get_secret_value() else ())
        hosts = self.provider_file_hosts or tuple(host for name in names for host in PROVIDER_HOSTS.get(name, ()))
        return AllowList.of(hosts, self.provider_file_private_origins)
