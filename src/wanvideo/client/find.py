"""Which server to talk to: the one that is named, else the one that runs for this user."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import platformdirs

from wanvideo.client.errors import NoServer
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.lock import address_of

URL_VARIABLE: Final = "WANVIDEO_URL"
TOKEN_VARIABLE: Final = "WANVIDEO_TOKEN"
DATA_VARIABLE: Final = "WANVIDEO_DATA_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server is, and what opens it."""

    url: str  # without a slash at its end
    token: str | None = field(default=None, repr=False)
    named: bool = True  # by the user; otherwise it was found

    @property
    def on_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def find_server(
    url: str | None = None, token: str | None = None, environment: Mapping[str, str] = os.environ
) -> Server | None:
    """The server at `url`, or at WANVIDEO_URL, or the one that runs in the user's data folder; None: none runs.

    The token is `token`, or WANVIDEO_TOKEN, or what the server itself has told this user's programs.
    """
    url = url or environment.get(URL_VARIABLE) or None
    token = token or environment.get(TOKEN_VARIABLE) or None
    if url is not None:
        return Server(url=url.rstrip("/"), token=token)
    found = address_of(data_folder(environment))
    if found is None:
        return None
    return Server(url=found.url.rstrip("/"), token=token or found.token, named=False)


def server_or_fail(url: str | None = None, token: str | None = None) -> Server:
    """As `find_server`. Raises NoServer."""
    found = find_server(url, token)
    if found is None:
        raise NoServer(
            f"no server runs in {data_folder(os.environ).root}: start one with `wan serve`, or name one with "
            f"{URL_VARIABLE}",
            suggestions=("wan serve",),
        )
    return found


def data_folder(environment: Mapping[str, str]) -> DataFolder:
    """Of the user's own server, as `wan serve` finds it."""
    named = environment.get(DATA_VARIABLE)
    usual = platformdirs.user_data_path("wanvideo", appauthor=False) / "server"
    return DataFolder(Path(named) if named else usual)
