"""The signer's environment."""

from libs.common.settings import (
    DatabaseSettings,
    IdentitySettings,
    ObjectSettings,
    PublicSettings,
    ServiceSettings,
    SigningSettings,
)


class Settings(ServiceSettings, DatabaseSettings, IdentitySettings, ObjectSettings, PublicSettings, SigningSettings):
    """See the groups in `libs/common/settings.py`."""
