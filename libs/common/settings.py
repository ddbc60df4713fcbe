"""Owns the environment: one settings group per concern, from which each service composes its own `Settings`.

A service writes `class Settings(ServiceSettings, DatabaseSettings, KafkaSettings)`. A name is looked up, in this order:
constructor argument, environment, `<NAME>_FILE` (a path), `/run/secrets/<name>` (lower case). Empty counts as not set.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from libs.common.errors import SettingError

SECRETS_FOLDER = Path("/run/secrets")  # where Docker and Kubernetes mount them


def _split(value: object) -> object:
    """Turn `a, b` into its items; anything that is no text is left to pydantic."""
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _base_address(value: object) -> object:
    """Drop the slash at the end, so that `base + "/path"` never has two."""
    return value.rstrip("/") if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
CommaNumbers = Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split)]
Address = Annotated[str, BeforeValidator(_base_address)]


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads `<NAME>_FILE` or `/run/secrets/<name>`, so that secrets need not stand in the environment."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        named = os.environ.get(f"{field_name.upper()}_FILE")
        path = Path(named) if named else SECRETS_FOLDER / field_name
        if named is None and not path.is_file():
            return None, field_name, False
        try:
            return path.read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            variable = f"{field_name.upper()}_FILE" if named else str(path)
            raise SettingError(f"{variable}: expected a readable file of text, found none") from error

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value}


class Group(BaseSettings):
    """What all groups share; values are read once at start and never change."""

    # hide_input_in_errors: a malformed secret must not be printed by the error that refuses it
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave out `.env` files: a service never reads configuration from its working directory."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _SecretFiles(settings_cls)


class ServiceSettings(Group):
    """What every service has."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    track: Literal["stable", "canary"] = "stable"
    version: str = "0.1.0"
    internal_secret: SecretStr = SecretStr("")  # header X-Internal-Secret; empty: internal routes refuse everybody
    drain_seconds: float = Field(default=30.0, gt=0)  # s; operations.md §6.2; the embedded stack gives 15
    time_scale: float = Field(default=1.0, gt=0)  # multiplies every sweep, lease, stage and back-off; tests 0.05


class DatabaseSettings(Group):
    """PostgreSQL: one DSN, the writer's (P2)."""

    database_url: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/parcours")


class KafkaSettings(Group):
    """The broker; the prefix keeps the topics and groups of several stacks or tests apart."""

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_prefix: str = ""


class ObjectSettings(Group):
    """Where finished files are kept."""

    object_store: Literal["folder", "s3"] = "folder"
    object_folder: Path = Path("objects")
    s3_endpoint: Address | None = None  # None: the AWS address of the region
    s3_access_key: SecretStr = SecretStr("")
    s3_secret_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    s3_bucket: str = "parcours-tracks"


class IdentitySettings(Group):
    """Whose tokens are users; at least one of address and secret must be set where users are verified."""

    supabase_url: Address | None = None  # issuer and JWKS are derived from it
    supabase_jwt_secret: SecretStr = SecretStr("")  # HS256, raw bytes; comma list: the first signs, all verify
    supabase_anon_key: SecretStr = SecretStr("")  # recognised, never a user
    supabase_service_role_key: SecretStr = SecretStr("")  # recognised, never a user


class SigningSettings(Group):
    """Signed media URLs."""

    media_signing_keys: SecretStr = SecretStr("")  # "k2:hex,k1:hex": the first signs, all verify
    media_mode: Literal["gateway", "direct"] = "gateway"


class PeerSettings(Group):
    """Internal base addresses of the other services."""

    create_url: Address = "http://127.0.0.1:8001"
    runner_url: Address = "http://127.0.0.1:8002"
    generator_url: Address = "http://127.0.0.1:8003"
    callback_url: Address = "http://127.0.0.1:8004"
    archiver_url: Address = "http://127.0.0.1:8005"
    signer_url: Address = "http://127.0.0.1:8006"
    composer_url: Address = "http://127.0.0.1:8007"


class PublicSettings(Group):
    """What a browser sees."""

    public_url: Address = "http://127.0.0.1:8080"


class EdgeSettings(Group):
    """Who may call from a browser, and whose `X-Forwarded-For` is believed."""

    cors_origins: CommaList = ()
    trusted_proxies: CommaList = ()  # addresses or networks


class ProviderSettings(Group):
    """Which providers are used, in this order."""

    providers: CommaList = ()  # empty: suno when it has a key, then composer


class SunoSettings(Group):
    """The Suno reseller's account and the address it calls back."""

    suno_api_key: SecretStr = SecretStr("")
    suno_base_url: Address = "https://api.sunoapi.org"
    suno_model: str = "V4_5"
    callback_base: str | None = None  # the whole public callback URL; None: PUBLIC_URL + /callback
    suno_dialect: Literal["sunoapi", "kie"] = "sunoapi"  # kie: SUNO_BASE_URL is https://api.kie.ai unless set


class FalSettings(Group):
    """fal's account, its queue, the public keys of its webhooks, and the model that is asked."""

    fal_key: SecretStr = SecretStr("")  # id:secret; several, separated by commas, are several accounts
    fal_base_url: Address = "https://queue.fal.run"
    fal_jwks_url: Address = "https://rest.fal.ai/.well-known/jwks.json"
    fal_model: str = "fal-ai/elevenlabs/music"


class ReplicateSettings(Group):
    """Replicate's account and the model that is asked."""

    replicate_api_token: SecretStr = SecretStr("")
    replicate_base_url: Address = "https://api.replicate.com/v1"
    replicate_model: str = "stability-ai/stable-audio-2.5"


class DialectSettings(Group):
    """The operators' smoke-test dialect; off in production (W4)."""

    callback_simple_dialect: bool = False


class ProviderFileSettings(Group):
    """Hosts the archiver may fetch from (F1)."""

    provider_file_hosts: CommaList = ()  # empty: the hosts of the configured providers
    provider_file_private_origins: CommaList = ()  # whole origins, such as http://127.0.0.1:9999


class OpenAISettings(Group):
    """The model that may enrich texts; without a key the deterministic ones stay."""

    openai_api_key: SecretStr = SecretStr("")
    openai_base_url: Address | None = None  # None: the SDK's own
    openai_model: str = "gpt-4o-mini"


class FfmpegSettings(Group):
    """The ffmpeg program."""

    ffmpeg: Path | None = None  # None: the binary of the imageio-ffmpeg wheel
