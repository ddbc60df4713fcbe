"""Owns the addresses of our audio that a browser gets: of our own origin, signed, good for an hour."""

import time

from libs.common.objects import ObjectStore
from libs.common.signing import MediaSigner

MEDIA_PREFIX = "/media/parcours-tracks/"
CONTENT_TYPE = "audio/mpeg"
LIFE_SECONDS = 3600
_STEP_SECONDS = 300  # addresses stay the same for so long, so that a player is not handed a new one at each look


class MediaLinks:
    """Signs object keys; whoever calls has checked that the reader owns the run."""

    def __init__(self, *, signer: MediaSigner, objects: ObjectStore, public_url: str, direct: bool) -> None:
        self._signer = signer
        self._objects = objects
        self._public_url = public_url
        self._direct = direct

    async def address(self, key: str) -> str:
        """Return an address that serves this object for 55 to 60 minutes.

        With `MEDIA_MODE=direct` finished files come from the bucket itself; previews never, since they may still grow.
        """
        if self._direct and key.startswith("runs/"):
            presigned = await self._objects.presign(key, LIFE_SECONDS, CONTENT_TYPE)
            if presigned is not None:
                return presigned
        expires_at = int(time.time()) // _STEP_SECONDS * _STEP_SECONDS + LIFE_SECONDS
        return f"{self._public_url}{MEDIA_PREFIX}{key}?token={self._signer.sign(key, expires_at)}"
