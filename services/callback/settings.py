"""The callback's environment: no provider key but what checks a signature, no broker, no store."""

from pydantic import Field, SecretStr

from libs.common.settings import DatabaseSettings, DialectSettings, ServiceSettings
from services.callback.handlers.lanes import LANES


class Settings(ServiceSettings, DatabaseSettings, DialectSettings):
    """See the groups in `libs/common/settings.py`."""

    kie_webhook_hmac_key: SecretStr = SecretStr("")  # empty: webhooks of the reseller's API need no signature
    signature_seconds: float = Field(default=300.0, gt=0)  # s; of two companies' clocks, so TIME_SCALE is none of it
    callback_lanes: int = Field(default=LANES, ge=1, le=6)  # of the pool's eight connections; two serve all else
