"""What every plugin process of the stand-ins shares: the engine's start and stop conventions.

The engine starts a plugin with its own gRPC address as the last argument, reads the plugin's port as the
first line of standard output, and stops it with SIGINT (to the whole process group) or SIGTERM. A plugin
whose engine was killed must end too, or it would hold its port and a CPU for ever.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

# The engine's own limit (sdk/go/common/util/rpcutil): a stack's state may be sent in one message.
_MESSAGE_LIMIT = 400 * 1024 * 1024
_PARENT_POLL_SECONDS = 1.0
_GRACE_SECONDS = 2.0


def engine_address() -> str:
    """Returns the `host:port` of the engine that started this process, or an empty string."""
    return sys.argv[-1] if len(sys.argv) > 1 else ""


def serve(register: Callable[[grpc.Server], None], *, workers: int = 32) -> None:
    """Serves gRPC on a free loopback port until the engine stops this process or is gone.

    Args:
        register: adds the servicer to the server, before it starts.
        workers: how many calls are answered at a time.
    """
    # Before the engine is told the port: from then on it may be gone at any moment.
    parent = os.getppid()
    server = grpc.server(
        ThreadPoolExecutor(max_workers=workers),
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT),
        ],
    )
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while not stop.wait(_PARENT_POLL_SECONDS):
        if os.getppid() != parent:
            break
    server.stop(_GRACE_SECONDS).wait()
    # A program or a build that is still running in a worker thread must not keep the process alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
