"""`parcours up --postgres --kafka --s3`: a whole run on given servers, its files on a real S3 server, none of ours."""

from dataclasses import replace

import aioboto3

from tests import components, stacks


async def test_a_run_becomes_ready_on_given_servers_and_its_files_are_private_on_s3(
    empty_database: str, kafka_bootstrap: str, kafka_prefix: str, s3: components.S3
) -> None:
    own = replace(s3, bucket=f"{s3.bucket}-made-by-up")
    given = ("--postgres", empty_database, "--kafka", kafka_bootstrap, "--s3", own.endpoint)
    keys = {"S3_ACCESS_KEY": own.access_key, "S3_SECRET_KEY": own.secret_key, "S3_BUCKET": own.bucket}
    with stacks.stand_in(speed=20) as provider:
        settings = dict(provider.settings) | keys | {"KAFKA_PREFIX": kafka_prefix}
        with stacks.stack(*given, file_seconds=stacks.SHORT_SECONDS, **settings) as stack:
            status = stack.status()
            assert not {"postgres", "kafka"} & {process["name"] for process in status["processes"]}
            assert (status["postgres"]["dsn"], status["kafka"]["bootstrap"]) == (empty_database, kafka_bootstrap)
            async with stack.listener() as client:
                run_id = (await stacks.create(client))["runId"]
                last = await stacks.ready(client, run_id)
                for segment in last["segments"]:
                    signed = (await client.post(f"/v1/segments/{segment['id']}/sign")).json()["url"]
                    piece = await client.get(signed, headers={"Range": "bytes=0-99"})
                    assert (piece.status_code, len(piece.content)) == (206, 100)
                    key = f"runs/{run_id}/{segment['id']}.mp3"
                    anonymous = await client.get(f"{own.endpoint}/{own.bucket}/{key}", headers={"Authorization": ""})
                    assert anonymous.status_code in (401, 403), anonymous.text
            assert stack.stop() < 30
            assert stack.leftovers() == []
            assert not stack.folder.objects.exists()
    stored = await _keys_of(own)
    assert {f"runs/{run_id}/{segment['id']}.mp3" for segment in last["segments"]} <= stored


async def _keys_of(own: components.S3) -> set[str]:
    """What the bucket holds; it is emptied and removed."""
    keys = {"aws_access_key_id": own.access_key, "aws_secret_access_key": own.secret_key}
    async with aioboto3.Session().resource("s3", endpoint_url=own.endpoint, region_name=own.region, **keys) as store:
        bucket = await store.Bucket(own.bucket)
        found = {entry.key async for entry in bucket.objects.all()}
        await bucket.object_versions.delete()
        await bucket.delete()
    return found
