"""Runs the stand-in in a thread of its own, for tests."""

import asyncio
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from offline.model_api.server import ModelApi


@contextmanager
def running_model_api(
    *, tls: ssl.SSLContext | None = None, expected_key: str | None = None, answers: Mapping[str, str] | None = None
) -> Iterator[ModelApi]:
    """A stand-in on a loopback port, until the end of the block.

    Args:
        tls: With a certificate; None: plain HTTP.
        expected_key: The only API key that is taken; None: any.
        answers: Words -> the script for prompts with these words.
    """
    api = ModelApi(tls=tls, expected_key=expected_key, answers=answers)
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()
    problem: list[BaseException] = []

    async def serve() -> None:
        try:
            async with api:
                started.set()
                await stop.wait()
        except OSError as error:
            problem.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait()
    try:
        if problem:
            raise problem[0]
        yield api
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
