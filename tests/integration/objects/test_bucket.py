"""Owns the claim that the bucket is made once and may be asked for again, on the real S3 server."""

import os
import subprocess
import sys
import uuid

from libs.common.settings import ObjectSettings

Made = subprocess.CompletedProcess[str]


def _make(settings: ObjectSettings, **changed: str) -> Made:
    environment = {
        **os.environ,
        "S3_ENDPOINT": str(settings.s3_endpoint),
        "S3_ACCESS_KEY": settings.s3_access_key.get_secret_value(),
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_REGION": settings.s3_region,
        **changed,
    }
    command = [sys.executable, "-m", "libs.common.objects.bucket"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_bucket_is_made_once(s3_settings: ObjectSettings) -> None:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    first, second = _make(s3_settings, S3_BUCKET=name), _make(s3_settings, S3_BUCKET=name)
    assert (first.returncode, first.stdout) == (0, f"bucket {name} made\n")
    assert (second.returncode, second.stdout) == (0, f"bucket {name} is there\n")


def test_a_wrong_key_is_refused_without_showing_it(s3_settings: ObjectSettings) -> None:
    refused = _make(s3_settings, S3_BUCKET="bucket-of-nobody", S3_SECRET_KEY="not-the-secret")
    assert refused.returncode == 1
    assert refused.stderr == "bucket bucket-of-nobody: SignatureDoesNotMatch\n"


def test_a_server_that_is_away_ends_with_the_reason(s3_settings: ObjectSettings) -> None:
    away = _make(s3_settings, S3_BUCKET="bucket-away", S3_ENDPOINT="http://127.0.0.1:9")
    assert away.returncode == 1
    assert away.stderr == "bucket bucket-away: EndpointConnectionError\n"
