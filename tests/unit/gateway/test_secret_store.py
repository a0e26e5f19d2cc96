"""Secrets: read when needed, kept no longer than they must be."""

import os
from pathlib import Path

import pytest
from egress_gateway import secret_store
from egress_gateway.secret_store import SecretStore, SecretUnavailable

from tests.unit.gateway.rig import run

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-AbCdEf"


def value(store: SecretStore, reference: str) -> str:
    return run(store.value(reference))


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path, store = tmp_path / "key", SecretStore()
    path.write_text("first\n")
    assert value(store, f"file:{path}") == "first"
    path.write_text("second\r\n")
    os.utime(path, ns=(1, 1))
    assert value(store, f"file:{path}") == "second"
    path.unlink()
    with pytest.raises(SecretUnavailable):
        value(store, f"file:{path}")


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\rb", b" a", b"a ", "é".encode(), b"\xff", b"a\x00"])
def test_what_no_header_can_carry_is_no_secret_and_is_not_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SecretUnavailable) as caught:
        value(SecretStore(), f"file:{path}")
    assert repr(content) not in str(caught.value)


def test_an_arn_is_asked_for_once_in_five_minutes_and_again_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(arn: str) -> str:
        asked.append(arn)
        return f"value-{len(asked)}"

    store = SecretStore(fetch)
    assert [value(store, ARN) for _ in range(3)] == ["value-1"] * 3
    store.drop(ARN)
    assert value(store, ARN) == "value-2"
    monkeypatch.setattr(secret_store, "KEPT_SECONDS", -1.0)
    store.drop(ARN)
    assert [value(store, ARN), value(store, ARN)] == ["value-3", "value-4"]
    assert set(asked) == {ARN}


def test_a_key_of_a_json_secret() -> None:
    asked: list[str] = []

    def fetch(arn: str) -> str:
        asked.append(arn)
        return '{"api": "one", "number": 1}'

    store = SecretStore(fetch)
    assert value(store, f"{ARN}:api::") == "one"
    for key in ("other", "number"):
        with pytest.raises(SecretUnavailable) as caught:
            value(store, f"{ARN}:{key}::")
        assert "one" not in str(caught.value)
    assert set(asked) == {ARN}


def test_a_failure_is_not_kept() -> None:
    answers = iter(["not\nusable", "good"])
    store = SecretStore(lambda _: next(answers))
    with pytest.raises(SecretUnavailable):
        value(store, ARN)
    assert value(store, ARN) == "good"
