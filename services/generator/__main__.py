"""Runs the generator: `python -m services.generator`."""

import sys

from pydantic import ValidationError

from libs.common import logs
from libs.common.service import run
from services.generator.app import SERVICE, make_app
from services.generator.settings import Settings


def main() -> None:
    """Refuse a configuration that cannot work, with the reason and nothing else."""
    try:
        settings = Settings()
    except ValidationError as refused:
        errors = refused.errors(include_input=False, include_context=False)
        reasons = (": ".join([*(str(part).upper() for part in error["loc"][:1]), error["msg"]]) for error in errors)
        sys.exit(f"{SERVICE}: {'; '.join(reasons)}")
    logs.configure(SERVICE, settings.log_level, settings.version, settings.track)
    run(make_app, settings)


if __name__ == "__main__":
    main()
