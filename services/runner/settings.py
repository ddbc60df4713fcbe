"""The runner's environment."""

from pydantic import Field

from libs.common.settings import DatabaseSettings, IdentitySettings, KafkaSettings, ServiceSettings


class Settings(ServiceSettings, DatabaseSettings, KafkaSettings, IdentitySettings):
    """See the groups in `libs/common/settings.py`."""

    playable_after_seconds: float = Field(default=150.0, gt=0)  # s; G: provider's expected time to a playable segment
    runs_unfinished_max: int = Field(default=3, ge=1)  # per user; issue *The journey*, item 3
    runs_per_day_max: int = Field(default=20, ge=1)  # per user, in any 24 h; a resume counts as a run
