"""Makes sockets inside the network namespace that it is started in, and hands them to the process outside.

Started as a program, with the number of an inherited unix socket as its only argument. A request is one JSON message
`[family, type]`; the answer is one byte with the new socket attached. A socket belongs for good to the namespace that
it was made in, so the tests bind, listen and connect with it in their own process. Ends when the other side is gone.
"""

import json
import socket
import sys


def main(descriptor: int) -> None:
    """Answer requests on the inherited socket until it closes."""
    with socket.socket(fileno=descriptor) as channel:
        channel.send(b"+")
        while request := channel.recv(256):
            family, kind = json.loads(request)
            with socket.socket(family, kind) as made:
                socket.send_fds(channel, [b"+"], [made.fileno()])


if __name__ == "__main__":
    main(int(sys.argv[1]))
