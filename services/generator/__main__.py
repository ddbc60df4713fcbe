"""Runs the generator: `python -m services.generator`."""

from libs.common.service import main
from services.generator.app import SERVICE, make_app
from services.generator.settings import Settings

if __name__ == "__main__":
    main(SERVICE, Settings, make_app)
