"""Asks the service in this container whether it is ready, for the container engine: status 0 or 1, no output."""

import http.client
import os
import sys

SECONDS = 4.0  # below the health check's own time-out


def main() -> int:
    """One request to `/readyz`; whatever is not 200 is not ready."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
