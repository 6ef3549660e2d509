"""Hosts and origins, strictly."""

import pytest

from wanvideo.server.origins import Host, host_name, is_loopback, is_origin, origin_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost:9000", Host("localhost", 9000)),
        ("LocalHost", Host("localhost", None)),
        ("127.0.0.1:80", Host("127.0.0.1", 80)),
        ("[::1]:9000", Host("::1", 9000)),
        ("[0:0:0:0:0:0:0:1]", Host("::1", None)),
    ],
)
def test_a_host_is_taken_apart(text: str, host: Host) -> None:
    assert host_name(text) == host


@pytest.mark.parametrize(
    "text",
    ["", "localhost.", "localhost@evil", "localhost/x", "localhost?", "a b", "::1", "[::1", "h:0", "h:99999", "h:9:9",
     "localhost\t", "lo\ncalhost", "[v1.x]", "-a"],
)  # fmt: skip
def test_what_is_not_plainly_a_host_is_none(text: str) -> None:
    assert host_name(text) is None


def test_an_origin_has_the_port_of_its_scheme() -> None:
    assert origin_host("https://a.example") == Host("a.example", 443)
    assert origin_host("http://[::1]:3000") == Host("::1", 3000)


@pytest.mark.parametrize("text", ["null", "", "*", "file://x", "http://a@b", "http://a/", "http://", "localhost:3000"])
def test_what_is_not_plainly_an_origin_is_none(text: str) -> None:
    assert not is_origin(text)


def test_only_this_computer_reaches_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.org")))
