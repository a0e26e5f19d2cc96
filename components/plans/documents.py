"""IAM documents: who may do what. Nothing is `*` that can be named.

Every function gives a policy document as a dict, ready for `json.dumps`.
"""

from collections.abc import Sequence
from typing import Any

from components.models.tags import Role, Tag, tag_value
from components.plans.account import Account
from components.plans.saved import STATE, TASKS, state_prefix, tasks_prefix

Document = dict[str, Any]

PULL_ACTIONS = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
LOG_ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")
_NO_EXEC = {"StringEqualsIfExists": {"ecs:enable-execute-command": "false"}}
"""Condition: no ECS Exec, which is root in the container."""


def document(*statements: dict[str, Any]) -> Document:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One Allow statement; lists are sorted so that equal statements are equal text."""
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(resources),
    }
    return statement | ({"Condition": condition} if condition else {})


def trust(account: Account, service: str, source_arn: str) -> Document:
    """Trust policy: `service` may assume the role, only on behalf of this account's `source_arn` (may hold `*`).

    Without the two conditions another account's task could borrow the role (the confused deputy).
    """
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account.account_id},
                "ArnLike": {"aws:SourceArn": source_arn},
            },
        }
    )


def secret_arns(reference: str) -> list[str]:
    """The ARNs to grant for a secret reference: without the `:KEY::` that picks one key of a JSON secret.

    Secrets Manager appends a hyphen and six random characters to a name. A reference may or may not hold them, and a
    name may end in six characters of its own, so both readings are granted, the second with the wildcard that AWS
    documents for it.
    """
    arn = ":".join(reference.split(":")[:7])
    return [arn, f"{arn}-??????"]


def execution(account: Account, repositories: Sequence[str], log_group: str, secrets: Sequence[str] = ()) -> Document:
    """What ECS may do to start a task: pull from these repositories, write to this log group, read these secrets.

    Args:
        account: Where.
        repositories: Names of ECR repositories.
        log_group: Name of the log group.
        secrets: Secret references, for sessions that may hold their secrets.
    """
    statements = [
        # The token action has no resource; it is never given a VPC condition, or pulls through peering fail.
        allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
        allow("Pull", PULL_ACTIONS, [account.arn("ecr", f"repository/{name}") for name in repositories]),
        allow("Log", LOG_ACTIONS, [account.arn("logs", f"log-group:{log_group}:log-stream:*")]),
    ]
    return document(*statements, *_read_secrets(secrets))


def gateway_task(account: Account, cluster: str, bucket: str, key: str, secrets: Sequence[str]) -> Document:
    """What the gateway may do itself: read its policy and its own secrets, and see whose task an address is.

    Args:
        account: Where.
        cluster: Name of the cluster that the sessions run in.
        bucket: Name of the bucket of egress policies.
        key: Of the one object in it that it reads.
        secrets: Secret references of its routes.
    """
    in_cluster = {"ArnEquals": {"ecs:cluster": account.arn("ecs", f"cluster/{cluster}")}}
    return document(
        allow("ReadPolicy", ["s3:GetObject"], [_bucket(account, bucket, key)]),
        # A list that names no container instance is judged without a resource; the condition names the cluster.
        allow("FindSessions", ["ecs:ListTasks"], ["*"], in_cluster),
        allow("KnowSessions", ["ecs:DescribeTasks"], [account.arn("ecs", f"task/{cluster}/*")], in_cluster),
        *_read_secrets(secrets),
    )


def run_tasks(account: Account, cluster: str, family: str, execution_role: str, environment: str) -> Document:
    """What a schedule needs, which starts sessions of one environment: it neither watches nor stops them.

    Args:
        account: Where.
        cluster: Name of the cluster.
        family: Prefix of the environment's task families, without the underscore that follows it.
        execution_role: Name of the one role that may be handed on, to ECS only.
        environment: The environment's name; a run may be given no other.
    """
    return document(*_run_tasks(account, cluster, family, execution_role, tag_value(environment)))


def operate(
    account: Account,
    cluster: str,
    family: str,
    execution_role: str,
    environment: str,
    *,
    log_group: str,
    bucket: str,
) -> Document:
    """What a person needs who starts, finds, watches, stops and resumes the sessions of one environment.

    Args:
        account: Where.
        cluster: Name of the cluster.
        family: As for :func:`run_tasks`.
        execution_role: As for :func:`run_tasks`.
        environment: The environment's name. Tasks, services, state and task documents of another one, and gateways, are
            out of reach.
        log_group: Name of the environment's log group.
        bucket: Name of the bucket of saved state and of long task documents.
    """
    in_cluster = {"ArnEquals": {"ecs:cluster": account.arn("ecs", f"cluster/{cluster}")}}
    own = {"StringEquals": _tagged("Resource", tag_value(environment))}
    state, tasks = state_prefix(environment), tasks_prefix(environment)
    groups = [account.arn("logs", f"log-group:{log_group}{end}") for end in ("", ":log-stream:*")]
    return document(
        *_run_tasks(account, cluster, family, execution_role, tag_value(environment)),
        # What describes a task tells the addresses of its state as well.
        allow(
            "StopAndWatch",
            ["ecs:DescribeTasks", "ecs:StopTask"],
            [account.arn("ecs", f"task/{cluster}/*")],
            in_cluster | own,
        ),
        # A list that names no container instance is judged without a resource; the condition names the cluster.
        allow("FindRuns", ["ecs:ListTasks"], ["*"], in_cluster),
        # To no task and back: to another network, definition or to ECS Exec there is no way.
        allow(
            "StopAndResumeServices",
            ["ecs:DescribeServices", "ecs:UpdateService"],
            [account.arn("ecs", f"service/{cluster}/*")],
            in_cluster
            | own
            | _NO_EXEC
            | {
                "ArnLikeIfExists": {"ecs:task-definition": account.arn("ecs", f"task-definition/{family}_*:*")},
                "Null": {"ecs:subnet": "true"},
            },
        ),
        allow("ReadLogs", ["logs:FilterLogEvents", "logs:GetLogEvents"], groups),
        # A presigned URL reaches what whoever signed it may reach.
        allow("HandOverTasks", ["s3:GetObject", "s3:PutObject"], [_bucket(account, bucket, f"{tasks}*")]),
        # It is forgotten with all its versions.
        allow(
            "KeepState",
            ["s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"],
            [_bucket(account, bucket, f"{state}*")],
        ),
        # Without it S3 does not tell that there is no state from that it may not be read.
        allow(
            "FindState",
            ["s3:ListBucket", "s3:ListBucketVersions"],
            [_bucket(account, bucket)],
            {"StringLike": {"s3:prefix": f"{state}*"}},
        ),
    )


def _run_tasks(
    account: Account, cluster: str, family: str, execution_role: str, environment: str
) -> list[dict[str, Any]]:
    in_cluster = {"ArnEquals": {"ecs:cluster": account.arn("ecs", f"cluster/{cluster}")}}
    return [
        allow("Run", ["ecs:RunTask"], [account.arn("ecs", f"task-definition/{family}_*:*")], in_cluster | _NO_EXEC),
        # A gateway knows a session by the tags of its task, and so does IAM: nobody who starts runs here may name
        # another environment or role in them, or change them afterwards.
        allow(
            "TagRuns",
            ["ecs:TagResource"],
            [account.arn("ecs", f"task/{cluster}/*")],
            {"StringEquals": {"ecs:CreateAction": "RunTask"} | _tagged("Request", environment)},
        ),
        allow(
            "HandOnExecutionRole",
            ["iam:PassRole"],
            [account.role(execution_role)],
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]


def _tagged(of: str, environment: str) -> dict[str, str]:
    """Tags of a session of an environment, in a request or on a resource, as a condition compares them."""
    return {f"aws:{of}Tag/{Tag.ENVIRONMENT}": environment, f"aws:{of}Tag/{Tag.ROLE}": Role.SESSION.value}


def flow_logs(account: Account, log_group: str) -> Document:
    """What VPC flow logs may do: write to their one log group."""
    group = account.arn("logs", f"log-group:{log_group}")
    return document(
        allow("Write", [*LOG_ACTIONS, "logs:DescribeLogStreams"], [f"{group}:log-stream:*", f"{group}:*"]),
        allow("Find", ["logs:DescribeLogGroups"], [account.arn("logs", "log-group:*")]),
    )


def key_policy(account: Account, log_groups: str) -> Document:
    """Policy of the stack's KMS key: administered by the account, used by CloudWatch Logs for these groups.

    `kms:*` for the account root is AWS's own default statement: it delegates to the account's IAM policies, and a key
    without it can never be managed again. Source: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    return document(
        {
            "Sid": "AccountAdministers",
            "Effect": "Allow",
            "Principal": {"AWS": account.root()},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "LogsEncrypt",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{account.region}.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            "Resource": "*",
            "Condition": {
                "ArnLike": {"kms:EncryptionContext:aws:logs:arn": account.arn("logs", f"log-group:{log_groups}/*")}
            },
        },
    )


def registry_endpoint(account: Account) -> Document:
    """Policy of the ECR endpoints: this account's principals pull from this account's repositories; no push."""
    own = {"StringEquals": {"aws:PrincipalAccount": account.account_id}}
    both = {"StringEquals": {"aws:PrincipalAccount": account.account_id, "aws:ResourceAccount": account.account_id}}
    return document(
        _anyone(allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"], own)),
        _anyone(allow("Pull", PULL_ACTIONS, [account.arn("ecr", "repository/*")], both)),
    )


def logs_endpoint(account: Account) -> Document:
    """Policy of the logs endpoint: this account's principals write to this account's log streams."""
    both = {"StringEquals": {"aws:PrincipalAccount": account.account_id, "aws:ResourceAccount": account.account_id}}
    return document(_anyone(allow("Log", LOG_ACTIONS, [account.arn("logs", "log-group:*:log-stream:*")], both)))


def storage_endpoint(account: Account, state_bucket: str | None = None) -> Document:
    """Policy of the S3 gateway endpoint: read ECR's layers; with `state_bucket`, also saved state and tasks in it.

    What one session reaches of the bucket is decided by the presigned URLs that it is given, never by a role: it has
    no credentials, so whoever signed is a principal of this account, or there is no way through.
    """
    statements = [_anyone(allow("ImageLayers", ["s3:GetObject"], [account.layer_bucket()]))]
    if state_bucket:
        both = {"StringEquals": {"aws:PrincipalAccount": account.account_id, "aws:ResourceAccount": account.account_id}}
        state, tasks = (_bucket(account, state_bucket, f"{prefix}*") for prefix in (STATE, TASKS))
        statements += [
            _anyone(allow("SavedState", ["s3:GetObject", "s3:PutObject"], [state], both)),
            _anyone(allow("Tasks", ["s3:GetObject"], [tasks], both)),
        ]
    return document(*statements)


def private_bucket(account: Account, bucket: str) -> Document:
    """Policy of a private bucket: TLS only; who may read or write it is in the roles."""
    return document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [_bucket(account, bucket), _bucket(account, bucket, "*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def sessions_bucket(account: Account, bucket: str, endpoint: str | None, address: str | None) -> Document:
    """Policy of the private bucket that sessions reach: presigned URLs are good from the stack's own networks alone.

    A session can tell the URLs that it was given to anybody, and they last for days. Whoever asks with credentials of
    their own signs no URL, and is not meant.

    Args:
        account: Where.
        bucket: Its name.
        endpoint: Id of the S3 endpoint that limited sessions come by, if there are any.
        address: Public address that unrestricted sessions come from, if there are any.
    """
    condition: dict[str, Any] = {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}}
    # Both are true of a request that lacks what they compare: one by the endpoint has no source address for S3, and one
    # from outside no endpoint.
    if endpoint:
        condition["StringNotEquals"] = {"aws:SourceVpce": endpoint}
    if address:
        condition["NotIpAddress"] = {"aws:SourceIp": f"{address}/32"}
    signed = {
        "Sid": "SignedAddressesFromSessionsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [_bucket(account, bucket), _bucket(account, bucket, "*")],
        "Condition": condition,
    }
    return document(*private_bucket(account, bucket)["Statement"], signed)


def _bucket(account: Account, name: str, key: str | None = None) -> str:
    """ARN of a bucket, or with `key` (may hold `*`) of objects in it."""
    return f"arn:{account.partition}:s3:::{name}" + (f"/{key}" if key else "")


def _anyone(statement: dict[str, Any]) -> dict[str, Any]:
    # An endpoint policy must name principals; who they are is limited by the conditions and by their own policies.
    return statement | {"Principal": "*"}


def _read_secrets(secrets: Sequence[str]) -> list[dict[str, Any]]:
    arns = sorted({arn for reference in secrets for arn in secret_arns(reference)})
    return [allow("ReadSecrets", ["secretsmanager:GetSecretValue"], arns)] if arns else []
