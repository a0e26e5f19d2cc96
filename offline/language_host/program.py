"""Runs one Pulumi program inside the host's own process, with the real host's errors and exit behaviour.

The real host starts `pulumi-language-python-exec` in a new process. Running in this one saves a second start
of the interpreter and a second import of the SDK; the SDK keeps its state in context variables for just this
use (inline programs of the Automation API).
"""

import asyncio
import contextvars
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pulumi
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime.proto import language_pb2

_DEFAULT_ORGANIZATION = "organization"
# As in the SDK's own runner: calls that wait for the engine hold a thread each.
_THREADS_PER_OPERATION = 4


def run_program(request: Any, engine_address: str) -> Any:
    """Runs the program that a `RunRequest` names and returns its `RunResponse`.

    A failure is logged to the engine as an error diagnostic and returned as `bail`, which tells the engine
    that the user has already been told.

    Args:
        request: `pulumirpc.RunRequest`.
        engine_address: `host:port` of the engine's logging service.
    """
    return contextvars.copy_context().run(_run, request, engine_address)


def _run(request: Any, engine_address: str) -> Any:
    reset_options(
        project=request.project,
        stack=request.stack,
        root_directory=request.info.root_directory,
        parallel=request.parallel,
        engine_address=engine_address,
        monitor_address=request.monitor_address,
        preview=request.dryRun,
        organization=request.organization or _DEFAULT_ORGANIZATION,
    )
    set_all_config(dict(request.config), list(request.configSecretKeys))
    os.chdir(request.pwd)
    program = Path(request.info.program_directory, request.info.entry_point or ".").resolve()
    sys.argv = [str(program), *request.args]
    # Futures that nobody awaits after a failure are no news to the user, who has seen the failure itself.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(request.parallel, 1) * _THREADS_PER_OPERATION)
    loop.set_default_executor(executor)
    try:
        return _outcome(loop, program)
    finally:
        _drain(loop)
        executor.shutdown(wait=True)
        sys.stdout.flush()
        sys.stderr.flush()


def _outcome(loop: asyncio.AbstractEventLoop, program: Path) -> Any:
    def execute() -> None:
        runpy.run_path(str(program), run_name="__main__")

    if program.is_dir() and not (program / "__main__.py").is_file():
        pulumi.log.error(f"unable to find main python program `__main__.py` in `{program}`")
        return language_pb2.RunResponse(bail=True)
    try:
        loop.run_until_complete(run_in_stack(execute))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return language_pb2.RunResponse(bail=True)
    except SystemExit as exit_:
        if exit_.code in (None, 0):
            return language_pb2.RunResponse()
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {exit_.code}")
    except Exception as error:  # noqa: BLE001 (whatever a program raises is the program's error)
        if isinstance(error, grpc.RpcError) and _monitor_is_gone(error):
            return language_pb2.RunResponse(bail=True)
        trace = _user_traceback(error, program)
        pulumi.log.error(f"Program failed with an unhandled exception:\n{trace}")
        return language_pb2.RunResponse(bail=True)
    return language_pb2.RunResponse()


def _monitor_is_gone(error: grpc.RpcError) -> bool:
    """Says whether the engine has stopped serving: it has then reported the reason itself."""
    code = getattr(error, "code", None)
    return code is not None and code() == grpc.StatusCode.UNAVAILABLE


def _user_traceback(error: Exception, program: Path) -> str:
    """Returns the traceback from the program's own first frame on, without the frames of this host."""
    main = program / "__main__.py" if program.is_dir() else program
    frames = traceback.extract_tb(error.__traceback__)
    for index, frame in enumerate(frames):
        if Path(frame.filename).resolve() == main:
            return "".join(traceback.format_exception(error, limit=index - len(frames)))
    return "".join(traceback.format_exception(error))


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    """Cancels what a failed program left pending, so that closing the loop warns of nothing."""
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.close()
