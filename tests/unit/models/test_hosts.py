"""What an egress policy may name, and what a name matches."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from components.models.hosts import HostPattern, matches, url_host

PATTERN = TypeAdapter(HostPattern)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("api.example.com", "api.example.com"),
        ("https://api.example.com", "api.example.com"),
        ("HTTPS://API.Example.COM.", "api.example.com"),
        ("*.example.com", "*.example.com"),
        ("https://*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("a-1.b2.example.co.uk", "a-1.b2.example.co.uk"),
        ("api。example。com", "api.example.com"),
        ("1.example.com", "1.example.com"),
        ("0x7f.example.com", "0x7f.example.com"),
    ],
)
def test_hosts_are_stored_bare(written: str, stored: str) -> None:
    assert PATTERN.validate_python(written) == stored


@pytest.mark.parametrize(
    "written",
    [
        "",
        "*",
        "*.com",
        "com",
        "localhost",
        "*.*.example.com",
        "a.*.example.com",
        "*example.com",
        "http://example.com",
        "ftp://example.com",
        "example.com:443",
        "example.com:",
        "example.com/",
        "example.com/path",
        "user@example.com",
        "example.com?x",
        "example.com#x",
        "example.com\\x",
        "ex%61mple.com",
        "example.com\n",
        "exa mple.com",
        "\x00.example.com",
        "-a.example.com",
        "a_b.example.com",
        "a..example.com",
        f"{'a' * 64}.example.com",
        ".".join(["abcdefgh"] * 40) + ".com",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "example.1",
        "::1",
        "[::1]",
        "[fe80::1%eth0]",
        "::ffff:10.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "127。0。0。1",
        "2130706433.",
        "*.127.0.0.1",
        "https://127.0.0.1",
        "example.com..",
        ".example.com",
        "*.",
        "https://",
        "https:example.com",
        "xn--a.example.com",
        "exa\u00admple.com",
        "example.com\u202e",
        "a" * 2000,
    ],
)
def test_what_is_no_host_is_refused_with_a_fix(written: str) -> None:
    with pytest.raises(ValidationError, match="Fix: write a host name like"):
        PATTERN.validate_python(written)


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "x.api.example.com", False),
        ("api.example.com", "api.example.com.evil.test", False),
        ("api.example.com", "evilapi.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.example.com", ".example.com", False),
    ],
)
def test_matching(pattern: str, host: str, expected: bool) -> None:
    assert matches(pattern, host) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://mcp.example.com/sse", ("mcp.example.com", 443)),
        ("https://MCP.example.com:8443/x?y#z", ("mcp.example.com", 8443)),
    ],
)
def test_urls_give_host_and_port(url: str, expected: tuple[str, int]) -> None:
    assert url_host(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://mcp.example.com",
        "https://user:pw@mcp.example.com",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https:///x",
        "https://mcp.example.com:0/",
        "https://mcp.example.com:99999/",
        "https://mcp.example.com\\@evil.test/",
        "https://mcp.example.com\n",
        "mcp.example.com",
        "https://mcp",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://*.example.com/",
        "https://[mcp.example.com]/",
        "https://mcp%2eexample.com/",
        "wss://mcp.example.com",
        "",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Fix: "):
        url_host(url)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("http://example.com", "only https"),
        ("example.com:443", "names a port"),
        ("example.com/x", "holds a path"),
        ("*.com", "single label"),
        ("*", r"has a \* that is not its whole first label"),
        ("10.0.0.1", "is an address"),
        ("example.com\n", "control characters"),
        (".".join(["abcdefgh"] * 40), "Domain too long"),
    ],
)
def test_the_error_names_the_rule(written: str, rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        PATTERN.validate_python(written)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://mcp.example.com", "must be https"),
        ("https://user:pw@mcp.example.com", "holds credentials"),
        ("https://mcp.example.com\\@evil.test/", "backslashes"),
        ("https://mcp.example.com:0/", "port 0"),
        ("https:///x", "names no host"),
        ("https://10.0.0.1/", "is an address"),
    ],
)
def test_the_error_of_a_url_names_the_rule(url: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        url_host(url)


@given(st.ip_addresses())
def test_no_address_is_a_host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    for spelling in (str(address), hex(int(address)), str(int(address))):
        with pytest.raises(ValidationError):
            PATTERN.validate_python(spelling)


@given(st.text(st.sampled_from("ab1.-*:/@[]_%\\ \n\0éÉ。"), max_size=40))
def test_what_is_stored_is_plain_and_stable(text: str) -> None:
    try:
        stored = PATTERN.validate_python(text)
    except ValidationError:
        return
    assert PATTERN.validate_python(stored) == stored
    bare = stored.removeprefix("*.")
    assert set(bare) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert "." in bare
    assert len(bare) <= 253
