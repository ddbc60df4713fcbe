"""Starts the gateway: `python -m services.gateway`."""

from libs.common.service import main
from services.gateway.app import SERVICE, make_app
from services.gateway.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
