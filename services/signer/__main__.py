"""Starts the signer: `python -m services.signer`."""

from libs.common.service import main
from services.signer.app import SERVICE, make_app
from services.signer.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
