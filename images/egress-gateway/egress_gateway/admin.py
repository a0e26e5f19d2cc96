"""Health, readiness and metrics, on an address that no session can reach."""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from egress_gateway.metrics import Metrics

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class Admin:
    """Serves `/healthz`, `/readyz` and `/metrics`.

    Args:
        metrics: What `/metrics` shows.
        why_not: Rule by which nothing is let through; None while a good policy is in force.
    """

    def __init__(self, metrics: Metrics, why_not: Callable[[], str | None]) -> None:
        self._metrics, self._why_not = metrics, why_not
        application = web.Application()
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._show)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen.

        Returns:
            Address and port in use.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        name: tuple[str, int] = self._runner.addresses[0][:2]
        return name

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        why_not = self._why_not()
        status = HTTPStatus.OK if why_not is None else HTTPStatus.SERVICE_UNAVAILABLE
        return web.Response(status=status, text=f"{why_not or 'ok'}\n")

    async def _show(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"content-type": _TEXT_FORMAT})
