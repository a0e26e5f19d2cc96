"""A process with its input and output in an event loop, and its end, which is known whoever else holds the two open."""

import asyncio
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from agentenv_session.aside import aside


class Child:
    """One process; asyncio's own is over only when everybody who has inherited its pipes is.

    Args:
        process: With pipes for input and output.
        output: What it says.
        transport: Of `output`.

    Attributes:
        output: What it says.
        ended: Its exit code, or the negative number of the signal that ended it.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", output: asyncio.StreamReader, transport: asyncio.ReadTransport
    ) -> None:
        self._process, self._transport = process, transport
        self.output = output
        self.ended = aside(process.wait)

    @classmethod
    async def start(cls, command: Sequence[str], **how: Any) -> "Child":
        """Start it.

        Args:
            command: Arguments; no shell.
            how: As `subprocess.Popen` takes it.

        Raises:
            OSError: it cannot be started.
        """
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0, **how)  # noqa: ASYNC220 - see above
        output = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), process.stdout
        )
        return cls(process, output, transport)

    def tell(self, word: bytes) -> None:
        """Write to its input, which may be closed."""
        if self._process.stdin is not None:
            with suppress(OSError, ValueError):
                self._process.stdin.write(word)

    def close_input(self) -> None:
        """End its input."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        """Let go of both."""
        self.close_input()
        self._transport.close()
