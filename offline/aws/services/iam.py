"""IAM: roles and policies."""

import json
from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._tags import tag_changes, tag_list, tag_map

_POLICY_VERSIONS = 5


class Role(Resource):
    """A role; its id is its name."""

    token = "aws:iam/role:Role"
    backed_by = "moto: iam.create_role, update_role, update_assume_role_policy, put_role_permissions_boundary"
    force_new = frozenset({"name", "path"})
    name_property = "name"
    name_limit = 64
    defaults: ClassVar[dict[str, Any]] = {"forceDetachPolicies": False, "maxSessionDuration": 3600, "path": "/"}
    json_properties = frozenset({"assumeRolePolicy"})
    drift_keys = frozenset({"description", "permissionsBoundary"})
    unsupported = frozenset({"inlinePolicies", "managedPolicyArns", "namePrefix"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the role."""
        boundary = inputs.get("permissionsBoundary")
        aws.client("iam").create_role(
            RoleName=inputs["name"],
            Path=inputs.get("path", "/"),
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Description=inputs.get("description", ""),
            MaxSessionDuration=inputs.get("maxSessionDuration", 3600),
            Tags=tag_list(aws.tags_all(inputs)),
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )
        return inputs["name"], self.read(aws, inputs["name"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the role and its trust policy."""
        with missing_is_gone():
            role = aws.client("iam").get_role(RoleName=physical_id)["Role"]
        return {
            "arn": role["Arn"],
            "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
            "createDate": role["CreateDate"].isoformat(),
            "description": role.get("Description") or None,
            "maxSessionDuration": role["MaxSessionDuration"],
            "name": role["RoleName"],
            "path": role["Path"],
            "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
            "tags": tag_map(role.get("Tags")),
            "uniqueId": role["RoleId"],
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes trust, description, session length, boundary and tags."""
        client = aws.client("iam")
        client.update_assume_role_policy(RoleName=physical_id, PolicyDocument=inputs["assumeRolePolicy"])
        client.update_role(
            RoleName=physical_id,
            Description=inputs.get("description", ""),
            MaxSessionDuration=inputs.get("maxSessionDuration", 3600),
        )
        if inputs.get("permissionsBoundary"):
            client.put_role_permissions_boundary(
                RoleName=physical_id, PermissionsBoundary=inputs["permissionsBoundary"]
            )
        elif state.get("permissionsBoundary"):
            client.delete_role_permissions_boundary(RoleName=physical_id)
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_role(RoleName=physical_id, TagKeys=removed)
        if written:
            client.tag_role(RoleName=physical_id, Tags=tag_list(written))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the role; with `forceDetachPolicies` its policies first, else AWS refuses while it has any."""
        client = aws.client("iam")
        with missing_is_fine():
            if state.get("forceDetachPolicies"):
                for policy in client.list_attached_role_policies(RoleName=physical_id)["AttachedPolicies"]:
                    client.detach_role_policy(RoleName=physical_id, PolicyArn=policy["PolicyArn"])
                for name in client.list_role_policies(RoleName=physical_id)["PolicyNames"]:
                    client.delete_role_policy(RoleName=physical_id, PolicyName=name)
            client.delete_role(RoleName=physical_id)


class RolePolicy(Resource):
    """A policy inside a role; its id is `<role>:<name>`."""

    token = "aws:iam/rolePolicy:RolePolicy"
    backed_by = "moto: iam.put_role_policy"
    force_new = frozenset({"name", "role"})
    name_property = "name"
    name_limit = 128
    json_properties = frozenset({"policy"})
    unsupported = frozenset({"namePrefix"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Puts the policy into the role."""
        physical_id = f"{inputs['role']}:{inputs['name']}"
        return physical_id, self._put(aws, physical_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the policy document."""
        role, _, name = physical_id.partition(":")
        with missing_is_gone():
            found = aws.client("iam").get_role_policy(RoleName=role, PolicyName=name)
        return {"name": found["PolicyName"], "policy": json.dumps(found["PolicyDocument"]), "role": found["RoleName"]}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Puts the policy anew."""
        return self._put(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Takes the policy out of the role."""
        role, _, name = physical_id.partition(":")
        with missing_is_fine():
            aws.client("iam").delete_role_policy(RoleName=role, PolicyName=name)

    def _put(self, aws: Aws, physical_id: str, inputs: Props) -> Props:
        aws.client("iam").put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )
        return self.read(aws, physical_id, inputs)


class Policy(Resource):
    """A managed policy; its id is its ARN."""

    token = "aws:iam/policy:Policy"
    backed_by = "moto: iam.create_policy, create_policy_version"
    force_new = frozenset({"name", "path", "description"})
    name_property = "name"
    name_limit = 128
    defaults: ClassVar[dict[str, Any]] = {"path": "/"}
    json_properties = frozenset({"policy"})
    unsupported = frozenset({"delayAfterPolicyCreationInMs", "namePrefix"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the policy with its first version."""
        arn: str = aws.client("iam").create_policy(
            PolicyName=inputs["name"],
            Path=inputs.get("path", "/"),
            PolicyDocument=inputs["policy"],
            Description=inputs.get("description", ""),
            Tags=tag_list(aws.tags_all(inputs)),
        )["Policy"]["Arn"]
        return arn, self.read(aws, arn, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the policy with the document of its default version."""
        client = aws.client("iam")
        with missing_is_gone():
            policy = client.get_policy(PolicyArn=physical_id)["Policy"]
            version = client.get_policy_version(PolicyArn=physical_id, VersionId=policy["DefaultVersionId"])
        return {
            "arn": policy["Arn"],
            "attachmentCount": policy["AttachmentCount"],
            "description": policy.get("Description") or None,
            "name": policy["PolicyName"],
            "path": policy["Path"],
            "policy": json.dumps(version["PolicyVersion"]["Document"]),
            "policyId": policy["PolicyId"],
            "tags": tag_map(policy.get("Tags")),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Makes a new default version of a changed document, dropping the oldest where AWS keeps no more."""
        client = aws.client("iam")
        if inputs["policy"] != state.get("policy"):
            versions = client.list_policy_versions(PolicyArn=physical_id)["Versions"]
            if len(versions) >= _POLICY_VERSIONS:
                oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"])
                client.delete_policy_version(PolicyArn=physical_id, VersionId=oldest["VersionId"])
            client.create_policy_version(PolicyArn=physical_id, PolicyDocument=inputs["policy"], SetAsDefault=True)
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_policy(PolicyArn=physical_id, TagKeys=removed)
        if written:
            client.tag_policy(PolicyArn=physical_id, Tags=tag_list(written))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the policy, its old versions first."""
        client = aws.client("iam")
        with missing_is_fine():
            for version in client.list_policy_versions(PolicyArn=physical_id)["Versions"]:
                if not version["IsDefaultVersion"]:
                    client.delete_policy_version(PolicyArn=physical_id, VersionId=version["VersionId"])
            client.delete_policy(PolicyArn=physical_id)


class RolePolicyAttachment(Resource):
    """A managed policy attached to a role; its id is `<role>/<policy ARN>`."""

    token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    backed_by = "moto: iam.attach_role_policy"
    force_new = frozenset({"role", "policyArn"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Attaches the policy."""
        aws.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}", {}

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Finds the policy among those of the role."""
        role, _, arn = physical_id.partition("/")
        pages = aws.client("iam").get_paginator("list_attached_role_policies").paginate(RoleName=role)
        with missing_is_gone():
            attached = {policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]}
        if arn not in attached:
            raise Gone
        return {"policyArn": arn, "role": role}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Returns the attachment: every change replaces it."""
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Detaches the policy."""
        role, _, arn = physical_id.partition("/")
        with missing_is_fine():
            aws.client("iam").detach_role_policy(RoleName=role, PolicyArn=arn)


RESOURCES: list[Resource] = [Role(), RolePolicy(), Policy(), RolePolicyAttachment()]
INVOKES: dict[str, Invoke] = {}
