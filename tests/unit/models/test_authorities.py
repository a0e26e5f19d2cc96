"""Further certificate authorities: PEM text or a path, never a key."""

from pathlib import Path
from typing import Any

import pytest

from components.authorities import authorities
from components.models.authorities import certificates
from components.models.errors import InvalidInput
from components.models.stack import Stack
from tests.unit.certificates import authority

ONE, TWO = authority("one"), authority("two")
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"


def stack(*sources: str) -> Stack:
    data: dict[str, Any] = {"team": "t", "environments": [{"name": "e"}], "certificate_authorities": [*sources]}
    return Stack.parse(data)


def test_a_text_with_several_certificates_is_taken_apart() -> None:
    assert certificates(f"# a comment\n{ONE}\n{TWO}") == (ONE, TWO)


def test_texts_and_files_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/ca.pem").write_text(TWO)
    assert authorities(stack(ONE, "own/ca.pem"), tmp_path) == (ONE, TWO)


BAD = {
    "key": KEY,
    "key behind a certificate": ONE + KEY,
    "no base64": ONE.replace("M", "!"),
    "cut": ONE[:100],
    "above": "../ca.pem",
    "absolute": "/etc/ca.pem",
    "no suffix": "ca.key",
    "control character": "a\x00.pem",
}


@pytest.mark.parametrize("source", BAD.values(), ids=BAD.keys())
def test_what_is_no_authority_is_refused_before_anything_is_read(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"certificate_authorities\[0\].*Fix: "):
        stack(source)


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (KEY, "never a private key"), ("", "must hold")])
def test_a_file_that_is_no_authority_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(InvalidInput, match=said) as caught:
        authorities(stack("ca.pem"), tmp_path)
    assert caught.value.problems[0].path == "certificate_authorities[0]"
    assert "MC4CAQ" not in str(caught.value)


def test_a_broken_certificate_is_told_from_a_missing_one() -> None:
    lines = ONE.splitlines()
    with pytest.raises(ValueError, match="cannot be read"):
        certificates("\n".join([lines[0], *reversed(lines[1:-1]), lines[-1]]))
