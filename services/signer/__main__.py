"""Starts the signer: `python -m services.signer`."""

from libs.common import logs, service
from services.signer.app import SERVICE, make_app
from services.signer.settings import Settings


def main() -> None:
    settings = Settings()
    logs.configure(SERVICE, settings.log_level, settings.version, settings.track)
    service.run(make_app, settings)


if __name__ == "__main__":
    main()
