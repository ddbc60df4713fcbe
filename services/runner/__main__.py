"""Starts the runner: `python -m services.runner`."""

from libs.common.service import main
from services.runner.app import SERVICE, make_app
from services.runner.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
