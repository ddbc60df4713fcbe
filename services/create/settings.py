"""Create's environment."""

from pydantic import Field

from libs.common.settings import (
    DatabaseSettings,
    IdentitySettings,
    KafkaSettings,
    OpenAISettings,
    ProviderSettings,
    ServiceSettings,
    SunoSettings,
)


class Settings(
    ServiceSettings,
    DatabaseSettings,
    KafkaSettings,
    IdentitySettings,
    OpenAISettings,
    ProviderSettings,
    SunoSettings,
):
    """See the groups in `libs/common/settings.py`."""

    runs_unfinished_max: int = Field(default=3, ge=1)  # per user; issue *The journey*, item 3
    runs_per_day_max: int = Field(default=20, ge=1)  # per user, in any 24 h; a resume counts as a run
    openai_seconds: float = Field(
        default=15.0, gt=0, le=60
    )  # s; for one run's words, a retry included (domain.md §6.2)
    text_workers: int = Field(default=4, ge=1, le=32)  # runs whose words are asked for at once: they wait for a network

    def provider_order(self) -> tuple[str, ...]:
        """Who makes the music, first choice first; what the estimate rests on."""
        paid = ("suno",) if self.suno_api_key.get_secret_value() else ()
        return self.providers or (*paid, "composer")
