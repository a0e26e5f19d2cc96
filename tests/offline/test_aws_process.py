"""The plugin as a process: how the engine starts it, talks to it and stops it, and what starting it costs."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from offline.aws import wire

VPC = "urn:pulumi:test::test::aws:ec2/vpc:Vpc::net"


@pytest.fixture
def process(moto_url: str) -> Iterator[subprocess.Popen[str]]:
    """A running plugin; stopped by its pid."""
    environment = {**os.environ, "AWS_ENDPOINT_URL": moto_url}
    with subprocess.Popen(
        [sys.executable, "-m", "offline.aws", "127.0.0.1:1"], stdout=subprocess.PIPE, text=True, env=environment
    ) as running:
        yield running
        running.kill()


def test_it_prints_its_port_serves_and_ends(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        plugin = provider_pb2_grpc.ResourceProviderStub(channel)
        assert plugin.GetPluginInfo(empty_pb2.Empty()).version == importlib.metadata.version("pulumi-aws")
        assert plugin.Handshake(provider_pb2.ProviderHandshakeRequest()).accept_secrets
        configured = plugin.Configure(provider_pb2.ConfigureRequest(variables={"aws:config:region": "eu-west-1"}))
        assert configured.supportsPreview
        created = plugin.Create(
            provider_pb2.CreateRequest(urn=VPC, properties=wire.encode({"cidrBlock": "10.0.0.0/16"}))
        )
        assert created.id.startswith("vpc-")
        with pytest.raises(grpc.RpcError) as refused:
            plugin.Check(provider_pb2.CheckRequest(urn=VPC.replace("vpc:Vpc", "nothing:Nothing")))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "aws:ec2/nothing:Nothing" in refused.value.details()
        plugin.Cancel(empty_pb2.Empty())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_starting_it_and_checking_a_resource_imports_neither_the_sdk_nor_boto3() -> None:
    program = f"""
import json, sys
from pulumi.runtime.proto import provider_pb2
import offline.aws.__main__
from offline.aws import wire
from offline.aws.provider import Provider
Provider().Check(provider_pb2.CheckRequest(urn={VPC!r}, news=wire.encode({{"cidrBlock": "10.0.0.0/16"}})), None)
print(json.dumps(sorted(sys.modules)))
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    modules = set(json.loads(printed))
    assert "offline.aws.services.ec2_vpc" in modules
    assert not modules & {"pulumi_aws", "boto3", "botocore", "offline.aws.services.iam"}
