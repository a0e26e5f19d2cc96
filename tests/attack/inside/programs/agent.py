"""What the suite's sessions run as their command: takes attack programs by a socket in /tmp, and serves TCP ports.

Each order is one JSON line: the text of a program and the arguments of its `main`; the answer is what that returns. It
runs in a process of its own, a child of the session's command, so under everything that the command is under.
"""

import json
import os
import signal
import socket
import sys
import threading
import traceback
from typing import Any

ORDERS = "/tmp/orders"
GREETING = b"served"


def serve(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as door:
        while True:
            connection = door.accept()[0]
            with connection:
                connection.sendall(GREETING)


def obey(connection: socket.socket) -> None:
    with connection, connection.makefile("rwb") as stream:
        order = json.loads(stream.readline())
        scope: dict[str, Any] = {"__name__": "attack"}
        try:
            exec(compile(order["program"], "attack", "exec"), scope)
            answer = {"returned": scope["main"](*order["arguments"])}
        except BaseException:  # noqa: BLE001 - the answer is the traceback, whatever it was
            answer = {"failed": traceback.format_exc()}
        stream.write(json.dumps(answer).encode() + b"\n")


def main(ports: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for port in ports:
        threading.Thread(target=serve, args=[int(port)], daemon=True).start()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(ORDERS)
        door.listen(64)
        while True:
            connection = door.accept()[0]
            try:
                child = os.fork()
            except OSError as error:
                with connection:
                    connection.sendall(json.dumps({"failed": repr(error)}).encode() + b"\n")
                continue
            if child == 0:
                try:
                    # Two children deep: the container's init reaps the one that works.
                    if os.fork() == 0:
                        obey(connection)
                finally:
                    os._exit(0)
            connection.close()
            os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
