"""Owns where finished files are kept: one contract, a folder for one machine, an S3 bucket for all others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.objects.folder import FolderObjects
from libs.common.objects.store import (
    ChecksumMismatch,
    ObjectError,
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    RangeNotSatisfiable,
    StoreUnavailable,
)
from libs.common.settings import ObjectSettings

__all__ = [
    "ChecksumMismatch",
    "FolderObjects",
    "ObjectError",
    "ObjectExists",
    "ObjectInfo",
    "ObjectMissing",
    "ObjectStore",
    "RangeNotSatisfiable",
    "StoreUnavailable",
    "open_objects",
]


@asynccontextmanager
async def open_objects(settings: ObjectSettings) -> AsyncIterator[ObjectStore]:
    """Open the configured store for the life of the process; an S3 server that is away does not hinder it."""
    if settings.object_store == "s3":
        from libs.common.objects.s3 import S3Objects  # noqa: PLC0415 - half a second of imports, where there is S3

        async with S3Objects.open(settings) as store:
            yield store
    else:
        folder = FolderObjects(settings.object_folder)
        await folder.open()
        yield folder
