"""Hosts and origins as browsers write them, taken apart strictly: what is not plainly one is none."""

import ipaddress
import re
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9](?:[a-z0-9-]{0,62}))*", re.IGNORECASE)
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::(?P<port>\d{1,5}))?")
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\s]+)")

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PORTS: Final = {"http": 80, "https": 443}


class Host(NamedTuple):
    """A name or an address, without brackets and in lower case, and the port that stood behind it."""

    name: str
    port: int | None


def host_name(text: str) -> Host | None:
    """`text` of a Host header; None if it is none."""
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 0 < port < 65536:
        return None
    name = found["name"].lower()
    if name.startswith("["):
        try:
            return Host(str(ipaddress.IPv6Address(name[1:-1])), port)
        except ValueError:
            return None
    return Host(name, port) if _NAME.fullmatch(name) else None


def origin_host(text: str) -> Host | None:
    """The host of an origin such as http://localhost:3000, with its port; None for "null" and all else."""
    found = _ORIGIN.fullmatch(text)
    host = None if found is None else host_name(found["host"])
    if found is None or host is None:
        return None
    return Host(host.name, host.port or PORTS[found["scheme"]])


def is_origin(text: str) -> bool:
    return origin_host(text) is not None


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
