"""Starts the gateway: `python -m services.gateway`."""

from libs.common import logs, service
from services.gateway.app import SERVICE, make_app
from services.gateway.settings import Settings


def main() -> None:
    settings = Settings()
    logs.configure(SERVICE, settings.log_level, settings.version, settings.track)
    service.run(make_app, settings)


if __name__ == "__main__":
    main()
