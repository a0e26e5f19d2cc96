"""Runs a policy pack or a plugin written in Python as a child process for the engine."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

import grpc
from pulumi.runtime.proto import language_pb2

_CHUNK = 65536
_TERMINATE_SECONDS = 5.0


def plugin_command(request: Any) -> list[str]:
    """Returns the command line for a `RunPluginRequest`.

    Args:
        request: `pulumirpc.RunPluginRequest`; `kind` is `analyzer` for a policy pack, else a plugin whose
            program directory is run as Python runs a folder.
    """
    directory = request.info.program_directory
    if request.kind == "analyzer":
        return [sys.executable, "-u", "-m", "pulumi.policy", *request.args, directory]
    return [sys.executable, "-u", directory, *request.args]


def stream_plugin(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    """Yields `RunPluginResponse`s: what the child prints as it prints it, at last its exit code.

    Args:
        request: `pulumirpc.RunPluginRequest`; a policy pack runs in its own folder, a plugin in `pwd`.
        context: the call; the engine ends a plugin by cancelling it.
    """
    cwd = request.info.program_directory if request.kind == "analyzer" else request.pwd
    child = subprocess.Popen(
        plugin_command(request),
        cwd=cwd or None,
        env=dict(entry.split("=", 1) for entry in request.env) or dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # The engine's Ctrl-C reaches this host, which ends the child in its turn and without a traceback.
        start_new_session=True,
    )
    output: queue.Queue[Any] = queue.Queue()
    readers = [
        threading.Thread(target=_forward, args=(stream, wrap, output), daemon=True)
        for stream, wrap in ((child.stdout, _stdout), (child.stderr, _stderr))
    ]
    for reader in readers:
        reader.start()
    context.add_callback(lambda: _end(child))
    open_streams = len(readers)
    while open_streams:
        message = output.get()
        if message is None:
            open_streams -= 1
        else:
            yield message
    yield language_pb2.RunPluginResponse(exitcode=child.wait())


def _stdout(chunk: bytes) -> Any:
    return language_pb2.RunPluginResponse(stdout=chunk)


def _stderr(chunk: bytes) -> Any:
    return language_pb2.RunPluginResponse(stderr=chunk)


def _forward(stream: IO[bytes], wrap: Callable[[bytes], Any], output: "queue.Queue[Any]") -> None:
    """Puts each piece of `stream` into `output` as a message, and None at its end."""
    while chunk := os.read(stream.fileno(), _CHUNK):
        output.put(wrap(chunk))
    output.put(None)


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
