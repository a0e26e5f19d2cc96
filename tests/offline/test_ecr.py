"""The stand-in's ECR repositories against a moto server."""

import json
from collections.abc import Iterator

import pytest

from offline.aws.resource import Aws
from tests.offline.aws_driver import CallError, Deployed, Driver
from tests.offline.outputs import assert_complete

REPOSITORY = "aws:ecr/repository:Repository"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
POLICY = "aws:ecr/repositoryPolicy:RepositoryPolicy"

INPUTS = {
    "name": "team/session",
    "imageTagMutability": "IMMUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
    "encryptionConfigurations": [{"encryptionType": "AES256"}],
    "forceDelete": True,
    "tags": {"team": "research"},
}


def _rules(days: int) -> str:
    selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days}
    return json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})


def _pull(principal: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "ecr:BatchGetImage"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def repository(driver: Driver) -> Iterator[Deployed]:
    deployed = driver.create(REPOSITORY, "holder", {"forceDelete": True})
    yield deployed
    driver.delete(deployed)


def test_repository_lives_and_dies(driver: Driver, aws: Aws) -> None:
    changed = {**INPUTS, "imageTagMutability": "MUTABLE", "tags": {"owner": "x"}}
    deployed = driver.lifecycle(REPOSITORY, INPUTS, {**changed, "imageScanningConfiguration": {"scanOnPush": False}})
    assert deployed.id == "team/session"
    assert_complete(deployed)
    assert deployed.state["repositoryUrl"] == f"{aws.account_id}.dkr.ecr.eu-west-1.amazonaws.com/team/session"
    assert deployed.state["registryId"] == aws.account_id
    held = aws.client("ecr").describe_repositories(repositoryNames=["team/session"])["repositories"][0]
    assert held["imageTagMutability"] == "MUTABLE"
    assert held["imageScanningConfiguration"] == {"scanOnPush": False}
    assert aws.client("ecr").list_tags_for_resource(resourceArn=held["repositoryArn"])["tags"] == [
        {"Key": "owner", "Value": "x"}
    ]
    driver.assert_deletes(deployed)


def test_repository_drift_is_seen(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(REPOSITORY, "drifting", {**INPUTS, "name": "drifting"})
    client = aws.client("ecr")
    client.put_image_tag_mutability(repositoryName="drifting", imageTagMutability="MUTABLE")
    client.put_image_scanning_configuration(repositoryName="drifting", imageScanningConfiguration={"scanOnPush": False})
    client.tag_resource(resourceArn=deployed.state["arn"], tags=[{"Key": "by", "Value": "hand"}])
    assert driver.drift(deployed) == ["imageScanningConfiguration", "imageTagMutability", "tags"]


def test_encryption_and_name_replace(driver: Driver, repository: Deployed) -> None:
    assert repository.inputs["name"].startswith("holder-")
    assert repository.state["encryptionConfigurations"] == [{"encryptionType": "AES256"}]
    kms = driver.diff(repository, {"forceDelete": True, "encryptionConfigurations": [{"encryptionType": "KMS"}]})
    assert kms.replaces == ["encryptionConfigurations"]
    assert driver.diff(repository, {"forceDelete": True, "name": "other"}).replaces == ["name"]


def test_repository_with_images_is_kept_without_force(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(REPOSITORY, "full", {})
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    aws.client("ecr").put_image(repositoryName=deployed.id, imageManifest=json.dumps(manifest), imageTag="one")
    with pytest.raises(CallError, match=r"aws:ecr/repository:Repository 'full'.*RepositoryNotEmptyException"):
        driver.delete(deployed)
    driver.delete(driver.update(deployed, {"forceDelete": True}))
    assert driver.refresh(deployed) is None


def test_lifecycle_policy_is_replaced_in_place(driver: Driver, aws: Aws, repository: Deployed) -> None:
    deployed = driver.lifecycle(LIFECYCLE, {"repository": repository.id, "policy": _rules(14)})
    assert deployed.id == repository.id
    assert_complete(deployed)
    spaced = json.dumps(json.loads(_rules(14)), indent=4)
    assert driver.diff(deployed, {"repository": repository.id, "policy": spaced}).changed == []
    change = driver.diff(deployed, {"repository": repository.id, "policy": _rules(7)})
    assert (change.replaces, change.delete_first) == (["policy"], True)
    aws.client("ecr").put_lifecycle_policy(repositoryName=repository.id, lifecyclePolicyText=_rules(1))
    assert driver.drift(deployed) == ["policy"]
    driver.assert_deletes(deployed)


def test_repository_policy(driver: Driver, aws: Aws, repository: Deployed) -> None:
    inputs = {"repository": repository.id, "policy": _pull("arn:aws:iam::111122223333:root")}
    other = {**inputs, "policy": _pull("arn:aws:iam::444455556666:root")}
    deployed = driver.lifecycle(POLICY, inputs, other)
    aws.client("ecr").set_repository_policy(repositoryName=repository.id, policyText=inputs["policy"])
    assert driver.drift(deployed) == ["policy"]
    driver.assert_deletes(deployed)


def test_authorization_token_is_split(driver: Driver, aws: Aws) -> None:
    token = driver.invoke("aws:ecr/getAuthorizationToken:getAuthorizationToken", {})
    assert token["userName"] == "AWS"
    assert token["password"] == f"{aws.account_id}-auth-token"
    assert token["proxyEndpoint"] == f"https://{aws.account_id}.dkr.ecr.eu-west-1.amazonaws.com"


def test_exclusion_filters_are_refused(driver: Driver) -> None:
    filters = [{"filter": "dev-*", "filterType": "WILDCARD"}]
    _, failures = driver.check(REPOSITORY, "r", {"imageTagMutabilityExclusionFilters": filters})
    assert list(failures) == ["imageTagMutabilityExclusionFilters"]
