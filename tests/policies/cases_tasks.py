"""Cases of the rules about tasks, images, repositories and logs."""

import json
from typing import Any

from components.models.capabilities import FARGATE_DROPPED
from policies.aws import EVENT_TARGET, LOG_GROUP, REPOSITORY, SCHEDULE, SERVICE, TASK_DEFINITION
from tests.policies.judging import GATEWAY, LIMITED, UNKNOWN, Case

DIGEST = "@sha256:" + "0a" * 32
REGISTRY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
HARDENED: dict[str, Any] = {
    "name": "session",
    "image": f"{REGISTRY}/agents{DIGEST}",
    "user": "10001:10001",
    "privileged": False,
    "readonlyRootFilesystem": True,
    "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": True},
    "environment": [{"name": "AGENTENV_ENVIRONMENT", "value": "research"}],
}
AT = "containerDefinitions['session']"


def task(**changes: Any) -> dict[str, Any]:
    """Inputs of a task definition: a hardened container and one changed by `changes` (None removes)."""
    return defining(HARDENED | {"name": "hardened"}, HARDENED | changes)


def defining(*containers: dict[str, Any]) -> dict[str, Any]:
    """Inputs of a task definition of these containers; None stands for what is not there."""
    return {"containerDefinitions": json.dumps([{k: v for k, v in one.items() if v is not None} for one in containers])}


PAIR_SESSION = {"name": "AGENTENV_SESSION", "value": '{"agents":[{"name":"a"},{"name":"b"}]}'}
ONE_AGENT = {"name": "AGENTENV_SESSION", "value": '{"agents":[{"name":"a"}]}'}
FAMILY = {"tags": LIMITED, "family": "agentenv_demo_e_session_agents"}
"""What is around the container of runs of several agents."""


def dropping(*names: str) -> dict[str, Any]:
    return {"linuxParameters": {"capabilities": {"drop": list(names)}, "initProcessEnabled": True}}


SUPERVISOR: dict[str, Any] = (
    HARDENED | {"user": "0:0", "image": f"{REGISTRY}/agentenv/demo/session{DIGEST}"} | dropping(*FARGATE_DROPPED)
)


def several(around: dict[str, Any] = FAMILY, **changes: Any) -> dict[str, Any]:
    """Inputs of a task definition of several agents."""
    return defining(SUPERVISOR | changes) | around


NOT_SEVERAL: dict[str, dict[str, Any]] = {
    "a family like any other": several(FAMILY | {"family": "agentenv_demo_e_session_run"}),
    "a family that only sounds so": several(FAMILY | {"family": "agentenv_demo_e_session_run-agents"}),
    "a command": several(command=["sh"]),
    "an entry point": several(entryPoint=["sh"]),
    "one agent": several(environment=[ONE_AGENT]),
    "a gateway": several(FAMILY | {"tags": GATEWAY}),
    "no role": several({"family": FAMILY["family"]}),
    "beside another": defining(SUPERVISOR, HARDENED | {"name": "hardened"}) | FAMILY,
    "another's image": several(image=f"{REGISTRY}/tools{DIGEST}"),
    "a gateway's image": several(image=f"{REGISTRY}/agentenv/demo/gateway{DIGEST}"),
    "an image that only sounds so": several(image=f"{REGISTRY}/x/agentenv/demo/session{DIGEST}"),
    "a service with another's image": several(environment=[PAIR_SESSION], image=f"{REGISTRY}/tools{DIGEST}"),
    "a service beside another": defining(SUPERVISOR | {"environment": [PAIR_SESSION]}, HARDENED | {"name": "hardened"})
    | FAMILY,
    "one agent and several": several(environment=[PAIR_SESSION, ONE_AGENT]),
}
"""What a supervisor is not, though it starts as root and drops by name."""
SEVERAL: dict[str, dict[str, Any]] = {
    "runs of several agents": several(),
    "runs with a secret": several(FAMILY | {"family": "agentenv_demo_e_session_agents-0a1b2c3d"}),
    "a service of several agents": several(
        {"tags": LIMITED, "family": "agentenv_demo_e_session_service-s"}, environment=[PAIR_SESSION]
    ),
}

CONTAINER_VIOLATIONS: dict[str, dict[str, tuple[dict[str, Any], tuple[str, ...]]]] = {
    "container-not-privileged": {"privileged": ({"privileged": True}, (f"{AT}.privileged",))},
    "container-not-root": {
        "missing": ({"user": None}, (f"{AT}.user is missing",)),
        "empty": ({"user": ""}, (f"{AT}.user",)),
        "by name": ({"user": "root"}, (f"{AT}.user",)),
        "by name, with a group": ({"user": "root:agents"}, (f"{AT}.user",)),
        "by number": ({"user": "0"}, (f"{AT}.user",)),
        "both numbers": ({"user": "0:0"}, (f"{AT}.user",)),
        "zeros": ({"user": "000:10001"}, (f"{AT}.user",)),
        "as a number": ({"user": 0}, (f"{AT}.user",)),
    },
    "container-read-only-root": {
        "missing": ({"readonlyRootFilesystem": None}, (f"{AT}.readonlyRootFilesystem",)),
        "false": ({"readonlyRootFilesystem": False}, (f"{AT}.readonlyRootFilesystem",)),
        "a word": ({"readonlyRootFilesystem": "true"}, (f"{AT}.readonlyRootFilesystem",)),
    },
    "container-no-capabilities": {
        "silent": ({"linuxParameters": None}, (f"{AT}.linuxParameters.capabilities.drop",)),
        "some": (
            {"linuxParameters": {"capabilities": {"drop": ["NET_RAW"]}}},
            (f"{AT}.linuxParameters.capabilities.drop",),
        ),
        "added": (
            {"linuxParameters": {"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}},
            (f"{AT}.linuxParameters.capabilities.add",),
        ),
    },
    "image-by-digest": {
        "tag": ({"image": f"{REGISTRY}/agents:1.2"}, (f"{AT}.image",)),
        "missing": ({"image": None}, (f"{AT}.image",)),
        "short digest": ({"image": f"{REGISTRY}/agents@sha256:0a0a"}, (f"{AT}.image",)),
        "something behind": ({"image": f"{REGISTRY}/agents{DIGEST}x"}, (f"{AT}.image",)),
    },
    "image-not-from-cache": {
        "cache": ({"image": f"{REGISTRY}/agents/cache{DIGEST}"}, (f"{AT}.image",)),
        "cache, with a tag": ({"image": f"{REGISTRY}/agents/cache:latest{DIGEST}"}, (f"{AT}.image",)),
    },
    "container-environment-no-secret": {
        name: ({"environment": [{"name": name, "value": "hunter2"}]}, (f"{AT}.environment['{name}'] holds",))
        for name in ("ANTHROPIC_API_KEY", "GITHUB_TOKEN", "CLIENT_SECRET", "DB_PASSWORD", "pgpassword", "APIKEY", "KEY")
    },
    "no-secret-in-plain-text": {
        "in a command": (
            {"command": ["run", "AKIA" + "ABCDEFGHIJKLMNOP"]},
            ("containerDefinitions holds an AWS access",),
        ),
    },
}

HARMLESS = [
    {"name": "PROJECT_KEY", "value": "-workspace"},
    {"name": "MAX_TOKENS", "value": "4096"},
    {"name": "EMPTY_TOKEN", "value": ""},
    {"name": "DB_SECRET_ARN", "value": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db"},
    {"name": "DB_SECRET", "value": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-a1b2c3"},
    {"name": "KEYBOARD", "value": "qwerty"},
]

CASES = [
    *(
        Case(rule, "violating", label, TASK_DEFINITION, task(**changes), at=at)
        for rule, violations in CONTAINER_VIOLATIONS.items()
        for label, (changes, at) in violations.items()
    ),
    *(Case(rule, "compliant", "hardened", TASK_DEFINITION, task()) for rule in CONTAINER_VIOLATIONS),
    *(
        Case(rule, "compliant", label, TASK_DEFINITION, props)
        for rule in CONTAINER_VIOLATIONS
        for label, props in SEVERAL.items()
    ),
    *(
        Case(rule, "violating", label, TASK_DEFINITION, props, at=(at,))
        for rule, at in (
            ("container-not-root", f"{AT}.user is '0:0'"),
            ("container-no-capabilities", f"{AT}.linuxParameters.capabilities.drop does not hold ALL"),
        )
        for label, props in NOT_SEVERAL.items()
    ),
    *(
        Case(
            rule,
            "violating",
            "a container of another name",
            TASK_DEFINITION,
            several(name="helper"),
            at=(f"containerDefinitions['helper'].{at}",),
        )
        for rule, at in (("container-not-root", "user"), ("container-no-capabilities", "linuxParameters"))
    ),
    Case(
        "container-no-capabilities",
        "violating",
        "several agents that drop less",
        TASK_DEFINITION,
        several(**dropping(*(name for name in FARGATE_DROPPED if name not in ("KILL", "CHOWN")))),
        at=(f"{AT}.linuxParameters.capabilities.drop does not hold CHOWN, KILL",),
    ),
    *(
        Case(
            "container-not-root", "violating", label, TASK_DEFINITION, several(user=user), at=(f"{AT}.user is {said}",)
        )
        for label, user, said in (
            ("several agents, left to the image", None, "missing"),
            ("several agents, of no user", "", "''"),
        )
    ),
    *(
        Case(rule, "unknown", "role of what starts as root", TASK_DEFINITION, several(FAMILY | {"tags": UNKNOWN}))
        for rule in ("container-not-root", "container-no-capabilities")
    ),
    *(
        Case(rule, "unknown", "definitions", TASK_DEFINITION, {"containerDefinitions": UNKNOWN})
        for rule in CONTAINER_VIOLATIONS
    ),
    *(
        Case(
            rule,
            "violating",
            "unreadable",
            TASK_DEFINITION,
            {"containerDefinitions": text},
            at=("containerDefinitions is",),
        )
        for rule in CONTAINER_VIOLATIONS
        if rule != "no-secret-in-plain-text"
        for text in ("{", "{}", "[1]")
    ),
    Case(
        "image-not-from-cache", "compliant", "other", TASK_DEFINITION, task(image=f"{REGISTRY}/agents/cached{DIGEST}")
    ),
    Case("image-not-from-cache", "compliant", "port", TASK_DEFINITION, task(image=f"registry:5000/agents{DIGEST}")),
    Case("container-environment-no-secret", "compliant", "harmless", TASK_DEFINITION, task(environment=HARMLESS)),
    Case(
        "container-environment-no-secret",
        "violating",
        "scheduled run",
        SCHEDULE,
        {
            "target": {
                "input": json.dumps(
                    {
                        "containerOverrides": [
                            {"name": "session", "environment": [{"name": "API_KEY", "value": "hunter2"}]}
                        ]
                    }
                )
            }
        },
        at=("target.input.containerOverrides['session'].environment['API_KEY']",),
    ),
    Case(
        "container-environment-no-secret",
        "compliant",
        "schedule without overrides",
        SCHEDULE,
        {"target": {"input": "{}"}},
    ),
    Case("container-environment-no-secret", "compliant", "schedule without input", SCHEDULE, {"target": {}}),
    Case(
        "container-environment-no-secret",
        "violating",
        "input",
        EVENT_TARGET,
        {"input": "nonsense"},
        at=("input is not",),
    ),
    Case("container-environment-no-secret", "unknown", "scheduled input", SCHEDULE, {"target": {"input": UNKNOWN}}),
    Case("session-no-task-role", "compliant", "none", TASK_DEFINITION, {"executionRoleArn": UNKNOWN}),
    Case("session-no-task-role", "compliant", "gateway", TASK_DEFINITION, {"taskRoleArn": "arn", "tags": GATEWAY}),
    Case("session-no-task-role", "violating", "untagged", TASK_DEFINITION, {"taskRoleArn": "arn"}, at=("taskRoleArn",)),
    Case("session-no-task-role", "unknown", "ARN", TASK_DEFINITION, {"taskRoleArn": UNKNOWN}),
    Case("ecs-exec-off", "compliant", "off", SERVICE, {"enableExecuteCommand": False}),
    Case("ecs-exec-off", "compliant", "silent", SCHEDULE, {"target": {"ecsParameters": {}}}),
    Case("ecs-exec-off", "violating", "service", SERVICE, {"enableExecuteCommand": True}, at=("enableExecuteCommand",)),
    Case(
        "ecs-exec-off",
        "violating",
        "gateway too",
        SERVICE,
        {"enableExecuteCommand": True, "tags": GATEWAY},
        at=("enable",),
    ),
    Case(
        "ecs-exec-off",
        "violating",
        "schedule",
        SCHEDULE,
        {"target": {"ecsParameters": {"enableExecuteCommand": True}}},
        at=("target.ecsParameters.enableExecuteCommand",),
    ),
    Case("ecs-exec-off", "unknown", "value", SERVICE, {"enableExecuteCommand": UNKNOWN}),
    Case("ecr-immutable-tags", "compliant", "immutable", REPOSITORY, {"imageTagMutability": "IMMUTABLE"}),
    Case("ecr-immutable-tags", "compliant", "cache", REPOSITORY, {"name": "a/cache", "imageTagMutability": "MUTABLE"}),
    Case(
        "ecr-immutable-tags", "violating", "silent", REPOSITORY, {"name": "agents"}, at=("imageTagMutability is None",)
    ),
    Case("ecr-immutable-tags", "violating", "mutable", REPOSITORY, {"imageTagMutability": "MUTABLE"}, at=("imageTag",)),
    Case(
        "ecr-immutable-tags",
        "violating",
        "with exceptions",
        REPOSITORY,
        {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"},
        at=("imageTagMutability",),
    ),
    Case("ecr-immutable-tags", "violating", "named like one", REPOSITORY, {"name": "my-cache"}, at=("imageTag",)),
    Case("ecr-immutable-tags", "unknown", "mutability", REPOSITORY, {"imageTagMutability": UNKNOWN}),
    Case("ecr-immutable-tags", "unknown", "name", REPOSITORY, {"name": UNKNOWN, "imageTagMutability": "MUTABLE"}),
    Case("ecr-scan-on-push", "compliant", "on", REPOSITORY, {"imageScanningConfiguration": {"scanOnPush": True}}),
    Case("ecr-scan-on-push", "violating", "silent", REPOSITORY, {}, at=("imageScanningConfiguration.scanOnPush",)),
    Case(
        "ecr-scan-on-push",
        "violating",
        "off",
        REPOSITORY,
        {"imageScanningConfiguration": {"scanOnPush": False}},
        at=("i",),
    ),
    Case("ecr-scan-on-push", "unknown", "value", REPOSITORY, {"imageScanningConfiguration": {"scanOnPush": UNKNOWN}}),
    Case("log-retention", "compliant", "a month", LOG_GROUP, {"retentionInDays": 30}),
    Case(
        "log-retention", "compliant", "the longest, as the engine sends numbers", LOG_GROUP, {"retentionInDays": 3653.0}
    ),
    Case("log-retention", "violating", "silent", LOG_GROUP, {}, at=("retentionInDays is None",)),
    Case("log-retention", "violating", "for ever", LOG_GROUP, {"retentionInDays": 0}, at=("retentionInDays is 0",)),
    Case("log-retention", "violating", "too long", LOG_GROUP, {"retentionInDays": 3654}, at=("retentionInDays",)),
    Case("log-retention", "unknown", "value", LOG_GROUP, {"retentionInDays": UNKNOWN}),
    Case("log-encryption", "compliant", "key", LOG_GROUP, {"kmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/1"}),
    Case("log-encryption", "violating", "none", LOG_GROUP, {}, at=("kmsKeyId is missing",)),
    Case("log-encryption", "unknown", "key of this stack", LOG_GROUP, {"kmsKeyId": UNKNOWN}),
]
