"""Lines that a provider sends to the engine, which shows them beside the resource."""

import functools
from typing import Any

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

# The engine is on the same machine: one that takes longer is gone, and its log with it.
_SECONDS = 5.0


class EngineLog:
    """The engine's log.

    Args:
        address: `host:port` of the engine; empty for a process that no engine started, which then logs nothing.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    @functools.cached_property
    def _stub(self) -> Any:
        return engine_pb2_grpc.EngineStub(grpc.insecure_channel(self._address))

    def debug(self, urn: str, text: str) -> None:
        """Logs a line that is shown with `--debug` only."""
        self._log(urn, text, engine_pb2.DEBUG, ephemeral=False)

    def status(self, urn: str, text: str) -> None:
        """Shows a line beside the resource until the next one."""
        self._log(urn, text, engine_pb2.INFO, ephemeral=True)

    def warning(self, urn: str, text: str) -> None:
        """Logs a warning that stays."""
        self._log(urn, text, engine_pb2.WARNING, ephemeral=False)

    def _log(self, urn: str, text: str, severity: Any, *, ephemeral: bool) -> None:
        if not self._address:
            return
        request = engine_pb2.LogRequest(severity=severity, message=text, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=_SECONDS)
        except grpc.RpcError:
            # Losing a line of progress must not fail a build.
            return
