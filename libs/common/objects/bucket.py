"""Makes the bucket of an S3 store where it is missing: `python -m libs.common.objects.bucket`, once per deployment."""

import asyncio
import sys

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from libs.common.settings import ObjectSettings

_PRESENT = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


async def make_bucket(settings: ObjectSettings) -> bool:
    """Create the bucket; False when it is there. Another owner's bucket of this name raises when it is looked at."""
    async with aioboto3.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value() or None,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
        config=Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=20),  # s
    ) as client:
        # us-east-1 is the default place and must not be named.
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": settings.s3_region}}
        place = {} if settings.s3_region == "us-east-1" else elsewhere
        try:
            await client.create_bucket(Bucket=settings.s3_bucket, **place)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _PRESENT:
                raise
            await client.head_bucket(Bucket=settings.s3_bucket)
            return False
        return True


def main() -> int:
    """Run as a program: 0 when the bucket can be used, else 1 and the reason, without address or key."""
    settings = ObjectSettings()
    try:
        made = asyncio.run(make_bucket(settings))
    except ClientError as error:
        sys.stderr.write(f"bucket {settings.s3_bucket}: {error.response['Error']['Code']}\n")
        return 1
    except (BotoCoreError, OSError) as error:
        sys.stderr.write(f"bucket {settings.s3_bucket}: {type(error).__name__}\n")
        return 1
    sys.stdout.write(f"bucket {settings.s3_bucket} {'made' if made else 'is there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
