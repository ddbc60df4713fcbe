"""Runs composer: `python -m services.composer`."""

from libs.common import logs, service
from services.composer.app import SERVICE, make_app
from services.composer.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    logs.configure(SERVICE, settings.log_level, settings.version, settings.track)
    service.run(make_app, settings)
