"""One server for all attacks: it has to outlive them."""

from collections.abc import Iterator

import pytest

from tests.server.attacks.serving import Attacked, attacked


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    limits = {"WANVIDEO_BODY_SECONDS": "2", "WANVIDEO_MAX_QUEUED": "400", "WANVIDEO_MAX_SOCKETS": "50"}
    with attacked(tmp_path_factory.mktemp("attacked"), **limits) as server:
        yield server
