"""What happened to jobs while a client was away, from what was stored: also after the server was started again."""

from typing import Final

from wanvideo.server.events.frames import of_stored
from wanvideo.server.events.hub import FRAMES, Frame
from wanvideo.server.parts import Parts

MOST: Final = 5_000  # events, beyond which a snapshot is the quicker way
# Threads tell what they have stored in about the order in which they stored it. So many events before the last one that
# a client knows of are told again: better twice than never.
OUT_OF_ORDER: Final = 8


def stored_since(parts: Parts, seq: int) -> list[Frame] | None:
    """Every end, deletion and notice since then, and all jobs that changed as they are now. None: only a snapshot
    helps.

    Blocks. Progress, previews and downloads of that time are not told: what they came to stands in the snapshot.
    """
    if seq > parts.hub.last_seq:
        return None
    events = parts.queue.events(since=max(0, seq // FRAMES - OUT_OF_ORDER), limit=MOST + 1)
    if len(events) > MOST:
        return None
    jobs = parts.queue.find_all({event.job for event in events})
    newest = {event.job: event.seq for event in events}
    return [
        frame
        for event in events
        for frame in of_stored(event, jobs.get(event.job), parts.catalog, newest=event.seq == newest[event.job])
    ]
