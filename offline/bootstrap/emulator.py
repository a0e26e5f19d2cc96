"""The emulated AWS: a `moto` server on the loopback address. It keeps everything in memory."""

import os
import shutil
import urllib.request

from offline.bootstrap.layout import Layout
from offline.bootstrap.servers import Server

DEFAULT_PORT = 5501
_START_SECONDS = 60.0
_ANSWER_SECONDS = 2.0


def server(layout: Layout) -> Server:
    """Returns the emulator of this checkout."""
    return Server("aws", layout.run)


def endpoint(port: int) -> str:
    """Returns the URL for `AWS_ENDPOINT_URL`."""
    return f"http://127.0.0.1:{port}"


def prepare(layout: Layout) -> str:
    """Makes sure that the emulator runs, and returns its URL.

    A new emulator is empty, whatever Pulumi's state says. So the state that the `aws` stand-in keeps beside it
    is emptied as well, and the file `.toolchain/run/aws-is-new` tells the next `make demo-aws` to refresh first.

    Raises:
        BootstrapError: it does not start.
    """
    moto = server(layout)
    record = moto.running()
    if record is not None:
        return endpoint(record.port)
    shutil.rmtree(layout.state / "aws", ignore_errors=True)
    port = moto.choose_port(DEFAULT_PORT)
    (layout.run / "aws-is-new").parent.mkdir(parents=True, exist_ok=True)
    (layout.run / "aws-is-new").touch()
    moto.start(
        [str(layout.venv / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        port=port,
        ready=lambda: _answers(port),
        seconds=_START_SECONDS,
        env={key: value for key, value in os.environ.items() if key != "AWS_ENDPOINT_URL"},
    )
    return endpoint(port)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint(port)}/moto-api/", timeout=_ANSWER_SECONDS):
            return True
    except OSError:
        return False
