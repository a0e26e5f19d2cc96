"""The pack as the engine runs it: a process of its own that speaks gRPC."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from policies.aws import EGRESS_RULE, LOG_GROUP, SECURITY_GROUP, SERVICE, VPC
from policies.catalogue import RULES
from policies.docker_host import CONTAINER
from tests.policies.docker_objects import FENCE
from tests.policies.judging import UNKNOWN

PACK = Path(__file__).resolve().parents[2] / "policies"


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Any]:
    """A stub of the running pack, started as the language host starts it: in its folder, told where the engine is."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)],
        cwd=PACK,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        port = process.stdout.readline().strip()
        if not port.isdigit():
            # What printed something else may well be alive, and its stderr would never end.
            process.terminate()
            pytest.fail(f"the pack did not start: {port} {process.stderr.read()}")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _struct(props: dict[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(props)
    return found


def _request(token: str, props: dict[str, Any], name: str = "it") -> Any:
    urn = f"urn:pulumi:demo::agent-environments::{token}::{name}"
    return analyzer_pb2.AnalyzeRequest(urn=urn, type=token, name=name, properties=_struct(props))


def _found(response: Any, level: int = analyzer_pb2.MANDATORY) -> set[str]:
    return {diagnostic.policyName for diagnostic in response.diagnostics if diagnostic.enforcementLevel == level}


def test_the_pack_lists_every_rule(analyzer: Any) -> None:
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == "agent-environments"
    assert {policy.name for policy in info.policies} == {rule.policy.name for rule in RULES}
    assert all(policy.severity and policy.framework.reference for policy in info.policies)


def test_a_mandatory_violation_reaches_the_engine(analyzer: Any) -> None:
    response = analyzer.Analyze(_request(SERVICE, {"networkConfiguration": {"assignPublicIp": True}}))
    assert _found(response) == {"no-public-address", "required-tags"}
    message = next(d.message for d in response.diagnostics if d.policyName == "no-public-address")
    assert "networkConfiguration.assignPublicIp is true" in message
    assert "Fix: " in message


def test_an_unknown_is_a_notice_beside_what_is_judged(analyzer: Any) -> None:
    response = analyzer.Analyze(_request(LOG_GROUP, {"kmsKeyId": UNKNOWN, "retentionInDays": 0, "tags": UNKNOWN}))
    assert _found(response) == {"log-retention"}
    assert {"log-encryption", "required-tags"} <= _found(response, analyzer_pb2.ADVISORY)


def test_a_container_on_a_docker_host_is_judged_by_its_labels(analyzer: Any) -> None:
    fence = {key: value for key, value in FENCE.items() if value is not None} | {"privileged": True, "user": UNKNOWN}
    response = analyzer.Analyze(_request(CONTAINER, fence))
    assert _found(response) == {"docker-not-privileged"}
    assert _found(response, analyzer_pb2.ADVISORY) == {"docker-not-root"}
    assert "docker-session-behind-fence" in _found(analyzer.Analyze(_request(CONTAINER, fence | {"labels": []})))


def test_missing_tags_come_back_repaired(analyzer: Any) -> None:
    config = {"required-tags": analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.REMEDIATE)}
    config["required-tags"].properties.update({"team": "research"})
    analyzer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=config))
    response = analyzer.Remediate(_request(VPC, {"cidrBlock": "10.0.0.0/16"}))
    analyzer.Configure(analyzer_pb2.ConfigureAnalyzerRequest())
    assert [remediation.policyName for remediation in response.remediations] == ["required-tags"]
    assert dict(response.remediations[0].properties["tags"]) == {
        "agentenv:stack": "demo",
        "agentenv:team": "research",
        "agentenv:cost-centre": "research",
    }


def test_a_rule_over_the_stack_follows_dependencies(analyzer: Any) -> None:
    group = _request(SECURITY_GROUP, {"tags": {"agentenv:role": "gateway"}}, "group")
    rule = _request(EGRESS_RULE, {"securityGroupId": UNKNOWN}, "rule")
    resources = [
        analyzer_pb2.AnalyzerResource(urn=r.urn, type=r.type, name=r.name, properties=r.properties)
        for r in (group, rule)
    ]
    resources[1].propertyDependencies["securityGroupId"].urns.append(group.urn)
    response = analyzer.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=resources))
    blamed = {d.policyName: d.urn for d in response.diagnostics}
    assert blamed == {"security-group-rule-tags-agree": rule.urn}
