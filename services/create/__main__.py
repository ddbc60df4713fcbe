"""Starts create: `python -m services.create`."""

from libs.common import logs, service
from services.create.app import SERVICE, make_app
from services.create.settings import Settings


def main() -> None:
    settings = Settings()
    logs.configure(SERVICE, settings.log_level, settings.version, settings.track)
    service.run(make_app, settings)


if __name__ == "__main__":
    main()
