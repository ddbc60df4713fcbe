"""Starts the callback: `python -m services.callback`."""

from libs.common.service import main
from services.callback.app import SERVICE, make_app
from services.callback.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
