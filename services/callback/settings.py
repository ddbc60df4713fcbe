"""The callback's environment: no provider key, no broker, no store; it only hears and writes down."""

from libs.common.settings import DatabaseSettings, DialectSettings, ServiceSettings


class Settings(ServiceSettings, DatabaseSettings, DialectSettings):
    """See the groups in `libs/common/settings.py`."""
