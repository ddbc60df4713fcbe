"""Owns the S3 store: one aioboto3 client per process, path style, private objects, every byte checked."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aioboto3
from aiohttp import ClientError as TransportError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from libs.common import metrics
from libs.common.metrics import Metric
from libs.common.objects.store import (
    CHUNK,
    ChecksumMismatch,
    ObjectError,
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    RangeNotSatisfiable,
    StoreUnavailable,
    checked_key,
    checked_metadata,
    counted,
)
from libs.common.settings import ObjectSettings

SINGLE_PUT_LIMIT = 16 * 1024 * 1024  # bytes; above it multipart (performance-and-reliability.md §6)
PART = 8 * 1024 * 1024  # bytes; S3's least is 5 MiB
CONNECTIONS = 1000  # a reader holds one for as long as it listens; what is out of them waits, `/health` too
_CONFLICT_TRIES = 3  # 409 means that another conditional put is in flight: asking again tells who won

_EXISTS = frozenset({"PreconditionFailed", "412"})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_RANGE = frozenset({"InvalidRange", "416"})
_CHECKSUM = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest"})
_CONFLICT = frozenset({"ConditionalRequestConflict", "409"})


class S3Objects:
    """Objects in one private bucket."""

    def __init__(self, client: Any, bucket: str) -> None:  # noqa: ANN401 - aioboto3 makes its clients at run time
        self._client = client
        self._bucket = bucket

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ObjectSettings) -> AsyncIterator["S3Objects"]:
        """Open the process's client; nothing is sent yet."""
        config = Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            connect_timeout=2,  # s
            read_timeout=20,  # s; the archiver's lease is longer
            retries={"mode": "standard", "max_attempts": 2},  # the caller backs off for longer
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation="when_required",  # we send SHA-256; CRC32 trailers break older servers
            response_checksum_validation="when_required",
        )
        async with aioboto3.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key.get_secret_value() or None,
            aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
            config=config,
        ) as client:
            yield cls(client, settings.s3_bucket)

    async def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        content_type: str,
        sha256: bytes,
        metadata: Mapping[str, str],
        if_absent: bool,
    ) -> None:
        about: dict[str, Any] = {"Bucket": self._bucket, "Key": checked_key(key)}
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        described = {"ContentType": content_type, "Metadata": {**checked_metadata(metadata), "sha256": sha256.hex()}}
        with counted("put"), _as_store_errors():
            if await asyncio.to_thread(_size, source) > SINGLE_PUT_LIMIT:
                await self._put_parts(about, source, sha256, described, condition)
            else:
                await self._put_whole(about, source, sha256, described, condition)

    async def head(self, key: str) -> ObjectInfo | None:
        with counted("head"):
            try:
                with _as_store_errors():
                    found = await self._client.head_object(Bucket=self._bucket, Key=checked_key(key))
            except ObjectMissing:
                return None
        metadata = {name.lower(): value for name, value in found["Metadata"].items()}
        digest = metadata.pop("sha256", None)
        return ObjectInfo(
            size=int(found["ContentLength"]),
            etag=str(found["ETag"]),
            content_type=str(found["ContentType"]),
            sha256=None if digest is None else bytes.fromhex(digest),
            metadata=metadata,
        )

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        wanted: dict[str, str] = {"Bucket": self._bucket, "Key": checked_key(key)}
        if start < 0:
            raise RangeNotSatisfiable(f"range: expected a start of 0 or more, found {start}")
        if (start, stop) != (0, None):
            # HTTP cannot say an empty range: ask for one byte to learn whether the start is inside, yield nothing.
            last = "" if stop is None else str(max(stop - 1, start))
            wanted["Range"] = f"bytes={start}-{last}"
        with _as_store_errors():
            body = (await self._client.get_object(**wanted))["Body"]
        try:
            if stop is None or stop > start:
                pieces = body.iter_chunks(CHUNK)
                while True:
                    with _as_store_errors():
                        piece = await anext(pieces, b"")
                    if not piece:
                        break
                    yield piece
        finally:
            body.close()

    async def delete(self, key: str) -> None:
        with counted("delete"), _as_store_errors(), suppress(ObjectMissing):
            await self._client.delete_object(Bucket=self._bucket, Key=checked_key(key))

    async def presign(self, key: str, seconds: int, content_type: str) -> str | None:
        wanted = {"Bucket": self._bucket, "Key": checked_key(key), "ResponseContentType": content_type}
        with _as_store_errors():
            return str(await self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds))

    async def check(self) -> None:
        try:
            with _as_store_errors():
                await self._client.head_bucket(Bucket=self._bucket)
        except ObjectMissing:
            raise StoreUnavailable("object store: the bucket does not exist") from None

    async def _put_whole(
        self,
        about: Mapping[str, Any],
        source: Path | bytes,
        sha256: bytes,
        described: Mapping[str, Any],
        condition: Mapping[str, str],
    ) -> None:
        body = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
        sent = {**about, **described, **condition, "ContentLength": len(body), "ChecksumSHA256": _base64(sha256)}
        await _until_decided(lambda: self._client.put_object(Body=body, **sent))

    async def _put_parts(
        self,
        about: Mapping[str, Any],
        source: Path | bytes,
        sha256: bytes,
        described: Mapping[str, Any],
        condition: Mapping[str, str],
    ) -> None:
        started = await self._client.create_multipart_upload(**about, **described, ChecksumAlgorithm="SHA256")
        upload = {**about, "UploadId": started["UploadId"]}
        try:
            parts = await self._send_parts(upload, source, sha256)
            finished = {**upload, **condition, "MultipartUpload": {"Parts": parts}}
            await _until_decided(lambda: self._client.complete_multipart_upload(**finished))
        except BaseException:
            # Also when cancelled: parts nobody completes are paid for until a lifecycle rule finds them.
            with suppress(Exception):
                await asyncio.shield(self._client.abort_multipart_upload(**upload))
            raise

    async def _send_parts(self, upload: Mapping[str, Any], source: Path | bytes, sha256: bytes) -> list[dict[str, Any]]:
        """Send all parts, each with its own checksum, and compare the whole: S3 has no SHA-256 of a whole multipart."""
        digest = hashlib.sha256()
        parts: list[dict[str, Any]] = []
        pieces = _pieces(source)
        while piece := await asyncio.to_thread(next, pieces, b""):
            digest.update(piece)
            number, checksum = len(parts) + 1, _base64(hashlib.sha256(piece).digest())
            sent = {**upload, "PartNumber": number, "ContentLength": len(piece), "ChecksumSHA256": checksum}
            answer = await self._client.upload_part(Body=piece, **sent)
            parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})
        if digest.digest() != sha256:
            raise ChecksumMismatch(f"sha256: expected {sha256.hex()}, found {digest.hexdigest()}")
        return parts


async def _until_decided(send: Any) -> None:  # noqa: ANN401 - a call of the untyped client
    for tries_left in reversed(range(_CONFLICT_TRIES)):
        try:
            await send()
        except ClientError as error:
            if _code(error) not in _CONFLICT or not tries_left:
                raise
            metrics.count(Metric.STORAGE_OPERATIONS, op="put", outcome="retried")
        else:
            return


@contextmanager
def _as_store_errors() -> Iterator[None]:
    """Turn the client's errors into the contract's; their texts hold addresses and are left out."""
    try:
        yield
    except ClientError as error:
        raise _translated(error) from error
    except (BotoCoreError, TransportError, TimeoutError, OSError) as error:
        raise StoreUnavailable(f"object store: {type(error).__name__}") from error


def _translated(error: ClientError) -> ObjectError:
    code = _code(error)
    if code in _EXISTS:
        return ObjectExists("the key is taken")
    if code in _MISSING:
        return ObjectMissing("no object has this key")
    if code in _RANGE:
        return RangeNotSatisfiable("the range begins after the object's end")
    if code in _CHECKSUM:
        return ChecksumMismatch("sha256: the store found another one")
    return StoreUnavailable(f"object store: {code}")


def _code(error: ClientError) -> str:
    """Return the error's code; HEAD has no body, so there it is the status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    return status if code in ("", "Unknown") or status == str(HTTPStatus.PRECONDITION_FAILED.value) else code


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _pieces(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from (source[at : at + PART] for at in range(0, len(source), PART))
        return
    with source.open("rb") as file:
        while piece := file.read(PART):
            yield piece


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
