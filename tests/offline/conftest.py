"""A moto server and the stand-in provider in front of it."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from offline.aws.resource import Aws, Endpoints
from tests.offline.aws_driver import Driver

REGION = "eu-west-1"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of an emulated AWS on a free loopback port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def aws(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Aws:
    """An emulated account that holds only what AWS itself makes, without default tags."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=10)
    folder: Path = tmp_path_factory.mktemp("aws-state")
    return Aws(REGION, Endpoints({"sts": moto_url}, environment={}), store_folder=str(folder))


@pytest.fixture(scope="module")
def driver(aws: Aws) -> Driver:
    """The provider, called as the engine calls it, with Python dicts in and out."""
    return Driver(aws)
