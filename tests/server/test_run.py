"""The server as a process."""

import gc

from wanvideo.server.run import spare_collector


def test_what_a_server_has_when_it_starts_is_not_looked_through_for_garbage_again() -> None:
    try:
        spare_collector()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1000
    finally:
        gc.unfreeze()
