"""Runs composer: `python -m services.composer`."""

from libs.common.service import main
from services.composer.app import SERVICE, make_app
from services.composer.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
