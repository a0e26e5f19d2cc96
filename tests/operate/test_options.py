"""What commands say of what they wait for."""

import io
import sys

import pytest

from operate.options import waiting


class Terminal(io.StringIO):
    """Standard error of somebody who looks."""

    def isatty(self) -> bool:
        return True


def test_what_is_waited_for_is_shown_with_its_time_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with waiting("run r1") as progress:
        progress("saving [and] ending")
    shown = terminal.getvalue()
    assert "run r1: saving [and] ending" in shown
    assert "0:00:00" in shown


def test_what_is_waited_for_is_not_shown_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("run r1") as progress:
        progress("saving and ending")
    assert capsys.readouterr() == ("", "")
