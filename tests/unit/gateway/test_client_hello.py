"""The ClientHello, read by OpenSSL."""

import ssl

import pytest
from egress_gateway.client_hello import ClientHello
from hypothesis import given
from hypothesis import strategies as st

ALERT = 21


def hello(name: str | None, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = newest
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_name_is_read_and_an_alert_is_ready(newest: ssl.TLSVersion) -> None:
    read, data = ClientHello(), hello("Api.Example.test", newest=newest)
    assert read.feed(data)
    assert (read.server_name, read.size) == ("Api.Example.test", len(data))
    assert read.alert()[0] == ALERT


def test_a_hello_without_a_name_has_none() -> None:
    read = ClientHello()
    assert read.feed(hello(None))
    assert read.server_name is None


@given(st.lists(st.integers(1, 200), max_size=8))
def test_it_may_come_in_pieces(sizes: list[int]) -> None:
    read, data = ClientHello(), hello("api.example.test")
    for size in sizes:
        piece, data = data[:size], data[size:]
        if not data:
            return
        assert not read.feed(piece)
    assert read.feed(data)
    assert read.server_name == "api.example.test"


def test_what_comes_behind_it_does_not_count() -> None:
    read, data = ClientHello(), hello("api.example.test")
    assert read.feed(data + bytes(5000))
    assert read.size == len(data)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x15\x03\x03\x00\x02\x02\x28", bytes(100)]
)
def test_other_bytes_are_none(data: bytes) -> None:
    with pytest.raises(ssl.SSLError):
        ClientHello().feed(data)
