"""Owns starting the archiver: settings, logs, serve."""

from libs.common import logs
from libs.common.service import run
from services.archiver.app import SERVICE, make_app
from services.archiver.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    logs.configure(SERVICE, settings.log_level, settings.version, settings.track)
    run(make_app, settings)
