"""Starts create: `python -m services.create`."""

from libs.common.service import main
from services.create.app import SERVICE, make_app
from services.create.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
