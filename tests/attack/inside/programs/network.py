"""Attacks on the network: `main(name, arguments...)` says in a word or two what came of one."""

import fcntl
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 1.0
PAYLOAD = b"canary-of-the-suite"
IP_FREEBIND, IP_TRANSPARENT = 15, 19
SIOCSIFADDR, SIOCADDRT, SIOCSARP, SIOCSIFFLAGS = 0x8916, 0x890B, 0x8955, 0x8914
QUESTION_TYPES = {"A": 1, "TXT": 16}


def main(name: str, *arguments: Any) -> str:
    attacks: dict[str, Callable[..., str]] = {
        "tcp": tcp,
        "udp": udp,
        "icmp": icmp,
        "dns": dns,
        "embedded": embedded,
        "resolve": resolve,
        "raw": raw,
        "spoof": spoof,
        "configure": configure,
    }
    try:
        return attacks[name](*arguments)
    except TimeoutError:
        return "silence"
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"


def family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(address: str, port: int) -> str:
    with socket.socket(family(address)) as one:
        one.settimeout(SECONDS)
        one.connect((address, port))
        one.sendall(PAYLOAD)
        return "connected"


def udp(address: str, port: int, length: int = 0) -> str:
    with socket.socket(family(address), socket.SOCK_DGRAM) as one:
        one.settimeout(SECONDS / 4)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        # The long header of a QUIC version 1 Initial packet, which is padded to 1,200 bytes.
        one.sendto(b"\xc0\x00\x00\x00\x01" + bytes(length) if length else PAYLOAD, (address, port))
        one.recv(64)
        return "answered"


def icmp(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as one:
        one.settimeout(SECONDS)
        one.sendto(struct.pack("!BBHHH", 8, 0, 0, 0, 1) + PAYLOAD, (address, 0))
        one.recv(256)
        return "answered"


def question(name: str, kind: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", QUESTION_TYPES[kind], 1)


def dns(server: str, transport: str, name: str, kind: str, port: int = 53) -> str:
    asked = question(name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM) as one:
        one.settimeout(SECONDS)
        one.connect((server, port))
        one.sendall(asked if transport == "udp" else struct.pack("!H", len(asked)) + asked)
        return "answered" if one.recv(512) else "closed"


def embedded(name: str, kind: str) -> str:
    """The engine's resolver on the ports that it really has, which everybody in the namespace can read."""
    said = []
    for transport in ("udp", "tcp"):
        for line in Path(f"/proc/net/{transport}").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if bytes.fromhex(address) == bytes([11, 0, 0, 127]):
                try:
                    said.append(dns("127.0.0.11", transport, name, kind, int(port, 16)))
                except OSError as error:
                    said.append(f"{type(error).__name__} {error.errno}")
    return " ".join(sorted({*said})) or "no such listener"


def resolve(name: str) -> str:
    return str(socket.getaddrinfo(name, 443)[0][4][0])


def raw(kind: str) -> str:
    if kind == "packet":
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()
    elif kind == "transparent":
        with socket.socket() as one:
            one.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    else:
        protocol = {"icmp": socket.IPPROTO_ICMP, "ip": socket.IPPROTO_RAW, "udp": socket.IPPROTO_UDP}[kind]
        socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol).close()
    return "allowed"


def spoof(source: str, transport: str, address: str, port: int) -> str:
    """Speak from an address of somebody else, as far as a program without privileges can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM) as one:
        one.settimeout(SECONDS)
        one.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        one.bind((source, 0))
        one.connect((address, port))
        one.sendall(PAYLOAD)
        return "sent"


def configure(what: str, address: str) -> str:
    """Change the interface, the routes or the neighbours; `address` is the new one."""
    sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    name = b"eth0".ljust(16, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        if what == "address":
            fcntl.ioctl(one, SIOCSIFADDR, name + sockaddr)
        elif what == "down":
            fcntl.ioctl(one, SIOCSIFFLAGS, name + struct.pack("=H", 0) + bytes(14))
        elif what == "neighbour":
            fcntl.ioctl(one, SIOCSARP, sockaddr + bytes(2) + os.urandom(14) + bytes(20) + name)
        else:
            anywhere = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes(4))
            route = struct.pack("=L", 0) + bytes(4) + anywhere + sockaddr + anywhere + struct.pack("=H", 3) + bytes(62)
            fcntl.ioctl(one, SIOCADDRT, route)
    return "changed"
