# ruff: noqa: ARG002, N802 (gRPC fixes the names of the methods and their arguments)
"""The `LanguageRuntime` service of `pulumi.runtime.proto`, as far as running programs and plugins needs it.

Code generation (`pulumi convert`, `pulumi package gen-sdk`) is left to the real language host.
"""

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from offline.language_host.plugin_process import stream_plugin
from offline.language_host.program import run_program


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Pulumi code under the interpreter that runs this host.

    Args:
        engine_address: `host:port` of the engine, given to each program so that it can log.
    """

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Says that this host is alive."""
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Returns the version of the installed Pulumi SDK."""
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Returns which Python runs the programs, for `pulumi about`."""
        version = ".".join(map(str, sys.version_info[:3]))
        return language_pb2.AboutResponse(executable=sys.executable, version=version)

    def RuntimeOptionsPrompts(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Asks nothing: the toolchain is the project's own virtual environment."""
        return language_pb2.RuntimeOptionsResponse()

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Asks for no plugin ahead of its use.

        The real host lists every Pulumi package that is installed, used or not, and the engine then downloads
        each. Where this host runs nothing can be downloaded; the engine finds each plugin on first use.
        """
        return language_pb2.GetRequiredPackagesResponse()

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Lists no dependency for `pulumi about`: the requirement files have them with their hashes."""
        return language_pb2.GetProgramDependenciesResponse()

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Installs nothing: the virtual environment is filled from hash-pinned files before this host runs."""
        text = f"{sys.prefix} is filled from requirements-dev.txt; there is nothing to install\n"
        yield language_pb2.InstallDependenciesResponse(stdout=text.encode())

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Runs a Pulumi program to its end."""
        fault = _virtualenv_fault(request.info)
        if fault:
            return language_pb2.RunResponse(error=fault)
        return run_program(request, self._engine_address)

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Runs a policy pack or a component plugin, streaming what it prints and at last its exit code."""
        fault = _virtualenv_fault(request.info)
        if fault:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, fault)
        yield from stream_plugin(request, context)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Takes note of a cancellation: the engine stops serving a program and then ends this process."""
        return empty_pb2.Empty()


def _virtualenv_fault(info: Any) -> str:
    """Returns why `runtime.options.virtualenv` cannot be honoured, or an empty string.

    Args:
        info: the `ProgramInfo` of the request.
    """
    wanted = MessageToDict(info.options).get("virtualenv")
    if not wanted:
        return ""
    path = Path(info.root_directory, str(wanted)).resolve()
    if path == Path(sys.prefix).resolve():
        return ""
    return (
        f"runtime.options.virtualenv: {str(path)!r} is not the virtual environment of the stand-in language "
        f"host, which runs programs under {sys.prefix!r} only; remove the option or name that folder"
    )
