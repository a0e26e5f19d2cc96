"""Names: one spelling of each, and everything else refused."""

import pytest
from egress_gateway.denial import Denied
from egress_gateway.names import authority, canonical_host
from hypothesis import given
from hypothesis import strategies as st

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda label: label[:4] != "xn--")
NAME = st.lists(LABEL, min_size=1, max_size=5).map(".".join)


def refusal(target: bytes) -> str:
    with pytest.raises(Denied) as caught:
        authority(target)
    return caught.value.rule


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"api.example.com:443", ("api.example.com", 443)),
        (b"API.Example.COM:443", ("api.example.com", 443)),
        (b"api.example.com.:443", ("api.example.com", 443)),
        (b"xn--bcher-kva.example:8443", ("xn--bcher-kva.example", 8443)),
        (b"r3---sn-x.example.com:443", ("r3---sn-x.example.com", 443)),
        (b"1.example:65535", ("1.example", 65535)),
        (b"a" * 63 + b".example:443", ("a" * 63 + ".example", 443)),
    ],
)
def test_a_host_and_port_are_read(target: bytes, expected: tuple[str, int]) -> None:
    assert authority(target) == expected


@pytest.mark.parametrize(
    "target",
    [
        b"127.0.0.1:443",
        b"127.1:443",
        b"2130706433:443",
        b"0x7f000001:443",
        b"0x7f.1:443",
        b"0177.0.0.1:443",
        b"127.0.0.1.:443",
        b"example.0x:443",
        b"1.2.3.4.5:443",
        b"[::1]:443",
        b"[::ffff:127.0.0.1]:443",
        b"::1:443",
        b"[2002:7f00:1::]:443",
        b"example.123:443",
    ],
)
def test_an_address_is_refused_in_any_spelling(target: bytes) -> None:
    assert refusal(target) == "address-literal"


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"example.com",
        b":443",
        b"example.com:",
        b"example.com:0",
        b"example.com:0443",
        b"example.com:+443",
        b"example.com:-443",
        b"example.com:65536",
        b"example.com:99999999999999999999",
        b"example.com:443:443",
        b"user@example.com:443",
        b"user:pass@example.com:443",
        b"example.com:443/",
        b"example.com:443?x",
        b"example.com:443#x",
        b"example.com%00:443",
        b"example.com\\:443",
        b"exa mple.com:443",
        b"example.com\x00:443",
        b"example.com:443\n",
        b"[example.com]:443",
        b"https://example.com:443",
        "bücher.example:443".encode(),
        "example.com:\N{ARABIC-INDIC DIGIT FOUR}".encode(),
    ],
)
def test_what_is_more_or_less_than_host_and_port_is_refused(target: bytes) -> None:
    assert refusal(target) == "bad-authority"


@pytest.mark.parametrize(
    "target",
    [
        b"example..com:443",
        b".example.com:443",
        b"example.com..:443",
        b".:443",
        b"-a.example:443",
        b"a-.example:443",
        b"a_b.example:443",
        b"a" * 64 + b".example:443",
        b".".join([b"a" * 49] * 5) + b".abcde:443",
        b"xn--a.example:443",
        b"xn--example-.com:443",
        b"XN--BCHER-KVA9.example:443",
    ],
)
def test_no_valid_name_is_refused(target: bytes) -> None:
    assert refusal(target) == "bad-host"


@pytest.mark.parametrize(
    "name", ["\N{KELVIN SIGN}.example", "ex\N{SOFT HYPHEN}ample.com", "example\N{IDEOGRAPHIC FULL STOP}com"]
)
def test_a_name_outside_ascii_is_none(name: str) -> None:
    with pytest.raises(Denied) as caught:
        canonical_host(name)
    assert caught.value.rule == "bad-host"


@given(NAME, st.integers(1, 65535), st.booleans(), st.booleans())
def test_every_spelling_of_a_name_is_the_same_name(name: str, port: int, upper: bool, dot: bool) -> None:
    written = (name.upper() if upper else name) + "." * dot
    assert authority(f"{written}:{port}".encode()) == (name, port)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_name_or_refused(target: bytes) -> None:
    try:
        host, port = authority(target)
    except Denied:
        return
    assert authority(f"{host}:{port}".encode()) == (host, port)
    assert target.decode().lower() in (f"{host}:{port}", f"{host}.:{port}")
