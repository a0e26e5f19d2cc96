"""The stand-in's buckets and their settings against a moto server."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offline.aws.resource import Aws, Endpoints, Props
from tests.offline.aws_driver import CallError, Deployed, Driver
from tests.offline.outputs import assert_complete

BUCKET = "aws:s3/bucket:Bucket"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"

SWITCHES = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
ALL_BLOCKED = dict.fromkeys(SWITCHES, True)
OLD_VERSIONS = {
    "id": "old-versions",
    "status": "Enabled",
    "filter": {"prefix": ""},
    "noncurrentVersionExpiration": {"noncurrentDays": 30},
}
REPORTS = {
    "id": "reports",
    "status": "Enabled",
    "filter": {"and": {"prefix": "reports/", "tags": {"keep": "no", "team": "research"}}},
    "expiration": {"days": 7},
    "transitions": [{"days": 1, "storageClass": "GLACIER"}],
    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
}


def _encrypted(algorithm: str, **more: Any) -> Props:
    by_default = {"sseAlgorithm": algorithm, **more}
    return {"rules": [{"applyServerSideEncryptionByDefault": by_default, "bucketKeyEnabled": bool(more)}]}


def _policy(bucket: str, effect: str = "Deny") -> Props:
    statement = {"Effect": effect, "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    return {"policy": json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Condition": condition}]})}


@pytest.fixture
def bucket(driver: Driver) -> Iterator[Deployed]:
    deployed = driver.create(BUCKET, "holder", {"forceDestroy": True})
    yield deployed
    driver.delete(deployed)


def test_bucket_lives_and_dies(driver: Driver, aws: Aws) -> None:
    inputs = {"bucket": "team-state", "tags": {"team": "research"}}
    deployed = driver.lifecycle(BUCKET, inputs, {"bucket": "team-state", "tags": {"owner": "x"}})
    assert deployed.id == "team-state"
    assert_complete(deployed, "websiteDomain", "websiteEndpoint")
    assert deployed.state["arn"] == "arn:aws:s3:::team-state"
    assert deployed.state["bucketRegionalDomainName"] == "team-state.s3.eu-west-1.amazonaws.com"
    assert driver.diff(deployed, {"bucket": "other", "objectLockEnabled": True}).replaces == [
        "bucket",
        "objectLockEnabled",
    ]
    client = aws.client("s3")
    assert client.get_bucket_location(Bucket="team-state")["LocationConstraint"] == "eu-west-1"
    assert client.get_bucket_tagging(Bucket="team-state")["TagSet"] == [{"Key": "owner", "Value": "x"}]
    client.put_bucket_tagging(Bucket="team-state", Tagging={"TagSet": [{"Key": "by", "Value": "hand"}]})
    assert driver.drift(deployed) == ["tags"]
    assert driver.drift(driver.update(deployed, {"bucket": "team-state"})) == []
    driver.assert_deletes(deployed)


def test_bucket_with_objects_goes_only_by_force(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(BUCKET, "full", {})
    client = aws.client("s3")
    client.put_bucket_versioning(Bucket=deployed.id, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        client.put_object(Bucket=deployed.id, Key="a", Body=body)
    client.delete_object(Bucket=deployed.id, Key="a")
    with pytest.raises(CallError, match=r"aws:s3/bucket:Bucket 'full'.*BucketNotEmpty"):
        driver.delete(deployed)
    driver.assert_deletes(driver.update(deployed, {"forceDestroy": True}))


def test_checks_of_the_owner_are_refused(driver: Driver) -> None:
    versioning = {
        "bucket": "b",
        "versioningConfiguration": {"status": "Enabled"},
        "expectedBucketOwner": "1",
        "mfa": "1",
    }
    _, failures = driver.check(VERSIONING, "v", versioning)
    assert sorted(failures) == ["expectedBucketOwner", "mfa"]


def test_settings_inside_the_bucket_are_refused(driver: Driver) -> None:
    _, failures = driver.check(BUCKET, "b", {"acl": "private", "versioning": {"enabled": True}})
    assert sorted(failures) == ["acl", "versioning"]


def _open_up(client: Any, name: str) -> None:
    client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"BlockPublicAcls": False})


def _change_encryption(client: Any, name: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "other"}}
    client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _change_policy(client: Any, name: str) -> None:
    client.put_bucket_policy(Bucket=name, Policy=_policy(name, "Allow")["policy"])


def _change_lifecycle(client: Any, name: str) -> None:
    rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})


def _change_owner(client: Any, name: str) -> None:
    client.put_bucket_ownership_controls(
        Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )


@pytest.mark.parametrize(
    ("token", "inputs", "changed", "by_hand", "drifted"),
    [
        (BLOCK, ALL_BLOCKED, {**ALL_BLOCKED, "ignorePublicAcls": False}, _open_up, SWITCHES),
        (ENCRYPTION, _encrypted("AES256"), _encrypted("aws:kms", kmsMasterKeyId="k"), _change_encryption, ["rules"]),
        (POLICY, _policy("one"), _policy("two"), _change_policy, ["policy"]),
        (LIFECYCLE, {"rules": [OLD_VERSIONS]}, {"rules": [REPORTS, OLD_VERSIONS]}, _change_lifecycle, ["rules"]),
        (
            OWNERSHIP,
            {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
            {"rule": {"objectOwnership": "BucketOwnerPreferred"}},
            _change_owner,
            ["rule"],
        ),
    ],
    ids=["access", "encryption", "policy", "lifecycle", "ownership"],
)
def test_setting_lives_drifts_and_dies(
    driver: Driver,
    aws: Aws,
    bucket: Deployed,
    token: str,
    inputs: Props,
    changed: Props,
    by_hand: Callable[[Any, str], None],
    drifted: list[str],
) -> None:
    name = {"bucket": bucket.id}
    deployed = driver.lifecycle(token, inputs | name, changed | name)
    assert deployed.id == bucket.id
    moved = driver.diff(deployed, {**changed, "bucket": "other"})
    assert (moved.replaces, moved.delete_first) == (["bucket"], True)
    by_hand(aws.client("s3"), bucket.id)
    assert set(driver.drift(deployed)) == {key for key in drifted if changed[key]}
    refreshed = driver.refresh(deployed)
    assert refreshed is not None
    assert driver.drift(driver.update(refreshed, changed | name)) == []
    driver.assert_deletes(deployed)
    driver.delete(bucket)
    assert driver.refresh(deployed) is None


def test_policy_is_compared_by_meaning(driver: Driver, bucket: Deployed) -> None:
    deployed = driver.create(POLICY, "policy", {"bucket": bucket.id, **_policy("one")})
    respelt = json.dumps(json.loads(_policy("one")["policy"]), indent=2, sort_keys=True)
    assert driver.diff(deployed, {"bucket": bucket.id, "policy": respelt}).changed == []


def test_a_bucket_that_denies_what_is_not_tls_takes_objects_and_keeps_its_policy(
    driver: Driver, aws: Aws, bucket: Deployed
) -> None:
    deployed = driver.lifecycle(POLICY, {"bucket": bucket.id, **_policy("one")})
    assert json.loads(deployed.state["policy"])["Statement"][0]["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"}
    }
    aws.client("s3").put_object(Bucket=bucket.id, Key="a", Body=b"x")
    driver.assert_deletes(deployed)


def test_lifecycle_rules_reach_s3(driver: Driver, aws: Aws, bucket: Deployed) -> None:
    everything = {"id": "everything", "status": "Enabled", "expiration": {"days": 3}}
    driver.create(LIFECYCLE, "rules", {"bucket": bucket.id, "rules": [REPORTS, everything]})
    held = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket.id)["Rules"]
    tags = [{"Key": "keep", "Value": "no"}, {"Key": "team", "Value": "research"}]
    both = held[0]["Filter"]["And"]
    assert both["Prefix"] == "reports/"
    assert sorted(both["Tags"], key=lambda tag: str(tag["Key"])) == tags
    assert held[0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert held[1]["Filter"] == {"Prefix": ""}


def test_versioning_is_suspended_not_deleted(driver: Driver, aws: Aws, bucket: Deployed) -> None:
    def wanted(status: str) -> Props:
        return {"bucket": bucket.id, "versioningConfiguration": {"status": status}}

    client = aws.client("s3")
    deployed = driver.lifecycle(VERSIONING, wanted("Enabled"), wanted("Suspended"))
    client.put_bucket_versioning(Bucket=bucket.id, VersioningConfiguration={"Status": "Enabled"})
    assert driver.drift(deployed) == ["versioningConfiguration"]
    driver.delete(driver.update(deployed, wanted("Enabled")))
    assert client.get_bucket_versioning(Bucket=bucket.id)["Status"] == "Suspended"
    driver.delete(bucket)
    assert driver.refresh(deployed) is None
    driver.delete(deployed)


def test_bucket_that_was_never_versioned_is_disabled(driver: Driver, bucket: Deployed) -> None:
    wanted = {"bucket": bucket.id, "versioningConfiguration": {"status": "Disabled"}}
    assert driver.lifecycle(VERSIONING, wanted).state["versioningConfiguration"] == {"status": "Disabled"}


CHECKSUMS = ("checksumCrc32", "checksumCrc32c", "checksumCrc64nvme", "checksumSha1", "checksumSha256")


def _object(bucket: Deployed, content: str, **more: Any) -> Props:
    digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    return {"bucket": bucket.id, "key": "policies/a.json", "content": content, "etag": digest, **more}


def test_object_lives_drifts_and_dies_with_all_its_versions(driver: Driver, aws: Aws, bucket: Deployed) -> None:
    client, place = aws.client("s3"), {"Bucket": bucket.id, "Key": "policies/a.json"}
    client.put_bucket_versioning(Bucket=bucket.id, VersioningConfiguration={"Status": "Enabled"})
    typed = {"contentType": "application/json"}
    deployed = driver.lifecycle(OBJECT, _object(bucket, "{}", **typed), _object(bucket, '{"a":1}', **typed))
    assert_complete(deployed, *CHECKSUMS)
    assert deployed.state["arn"] == f"arn:aws:s3:::{bucket.id}/policies/a.json"
    held = client.get_object(**place)
    assert (held["Body"].read(), held["ContentType"]) == (b'{"a":1}', "application/json")
    assert driver.diff(deployed, _object(bucket, "{}", key="b")).replaces == ["key"]

    client.put_object(**place, Body=b"by hand", ContentType="application/json")
    assert driver.drift(deployed) == ["etag"]
    refreshed = driver.refresh(deployed)
    assert refreshed is not None
    healed = driver.update(refreshed, deployed.inputs)
    assert client.get_object(**place)["Body"].read() == b'{"a":1}'
    other = client.put_object(Bucket=bucket.id, Key="policies/a.json.other", Body=b"stays")
    driver.assert_deletes(healed)
    left = client.list_object_versions(Bucket=bucket.id)
    assert [(one["Key"], one["VersionId"]) for one in left["Versions"]] == [
        ("policies/a.json.other", other["VersionId"])
    ]
    assert "DeleteMarkers" not in left


def test_tags_of_an_object_change_without_a_new_version(driver: Driver, aws: Aws, bucket: Deployed) -> None:
    aws.client("s3").put_bucket_versioning(Bucket=bucket.id, VersioningConfiguration={"Status": "Enabled"})
    deployed = driver.create(OBJECT, "o", _object(bucket, "{}", tags={"team": "a"}))
    updated = driver.update(deployed, _object(bucket, "{}", tags={"team": "b"}))
    assert updated.state["versionId"] == deployed.state["versionId"]
    tags = aws.client("s3").get_object_tagging(Bucket=bucket.id, Key="policies/a.json")["TagSet"]
    assert tags == [{"Key": "team", "Value": "b"}]


def test_an_object_can_do_without_the_default_tags(
    moto_url: str, tmp_path: Path, bucket: Deployed, driver: Driver
) -> None:
    endpoints = Endpoints({"sts": moto_url}, environment={})
    tagging = Driver(Aws(driver.aws.region, endpoints, {"stack": "s"}, store_folder=str(tmp_path)))
    without: Props = {"overrideProvider": {"defaultTags": {"tags": {}}}}
    for more, expected in (({}, {"stack": "s", "team": "a"}), (without, {"team": "a"})):
        deployed = tagging.lifecycle(OBJECT, _object(bucket, "{}", tags={"team": "a"}, **more))
        assert (deployed.state["tags"], deployed.state["tagsAll"]) == ({"team": "a"}, expected)
        tagging.delete(deployed)


def test_objects_that_are_no_text_of_the_program_are_refused(driver: Driver) -> None:
    _, failures = driver.check(OBJECT, "o", {"bucket": "b", "source": "x", "kmsKeyId": "k", "acl": "public-read"})
    assert sorted(failures) == ["acl", "kmsKeyId", "source"]
