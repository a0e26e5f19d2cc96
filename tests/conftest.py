"""What every test may count on."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from tests.leftovers import of_suites, remove_own
from tests.turn import turn


def pytest_configure() -> None:
    """Have SIGINT interrupt: a shell that runs the tests in the background has them, and what they start, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says how busy the machine is. In CI the profile that it builds on is Hypothesis's own.
    slow = [*settings().suppress_health_check, HealthCheck.too_slow]
    settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=slow)
    settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def own_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A place of the tests' own for the records of runs; whoever runs the tests has records of real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("records")))
        yield


@pytest.fixture(autouse=True)
def current_event_loop() -> Iterator[None]:
    """A current event loop: Pulumi's SDK asks for one, and a test that ran a loop of its own leaves none behind."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Have the host's Docker engine for this run alone, while it has tests with containers.

    With AGENT_ENVIRONMENTS_LEFTOVERS=remove, as in continuous integration, what a killed run has left is removed first.
    """
    with ExitStack() as opened:
        needs_engine = any(item.get_closest_marker("containers") for item in session.items)
        if needs_engine and not session.config.option.collectonly:
            reporter = session.config.pluginmanager.get_plugin("terminalreporter")

            def say(line: str) -> None:
                if reporter is not None:
                    reporter.write_line(line)
                    reporter.flush()

            opened.enter_context(turn(say))
            if os.environ.get("AGENT_ENVIRONMENTS_LEFTOVERS") == "remove" and (removed := remove_own(of_suites)):
                say(f"removed what an earlier test run has left: {', '.join(removed)}")
        return (yield)
