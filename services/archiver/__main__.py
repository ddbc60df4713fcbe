"""Owns starting the archiver: settings, logs, serve."""

from libs.common.service import main
from services.archiver.app import SERVICE, make_app
from services.archiver.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
