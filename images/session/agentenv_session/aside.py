"""Calls that block, beside the event loop: in threads whose end nobody has to wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def aside(function: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
    """Call `function` in a thread of its own; a container that is to stop does not wait for it, as it would for a pool.

    Returns:
        What it gives or raises. Cancelling it leaves the thread to itself.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value, problem = None, None
        try:
            value = function(*arguments)
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            problem = error
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, problem)

    threading.Thread(target=work, daemon=True).start()
    return future


async def done_before(event: asyncio.Event, working: "asyncio.Future[T]") -> bool:
    """Wait for either; whether the work is done."""
    asked = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    return working.done()
