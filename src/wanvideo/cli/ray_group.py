"""What runs on a machine of a Ray cluster, for one GPU or a group: `wan worker join`, kept alive by Ray."""

import threading
from contextlib import ExitStack

from wanvideo.cli.environment import hubs, lora_library, places
from wanvideo.cli.worker import worker_settings
from wanvideo.server import logs
from wanvideo.server.node import open_node
from wanvideo.server.parts import Sources
from wanvideo.server.workers import workers_of


class RayGroup:
    """An actor. It knows the database from the environment of its machine, and is told its name and its size alone."""

    def __init__(self, name: str, gpus: int) -> None:
        """Works until it dies or is stopped. Raises what `open_node` raises; Ray then tries again."""
        logs.set_up(json=True)
        settings = worker_settings({})
        settings = settings.model_copy(update={"data_dir": settings.data_dir / name, "gpus_per_job": gpus})
        self._closing = ExitStack()
        sources = Sources(places=places(), hubs=hubs(), library=lora_library())
        self._node = open_node(settings, sources, workers_of, self._closing, joins=True)
        self._drain_seconds = settings.drain_seconds
        self._stopped = threading.Lock()
        self._node.start()

    def busy(self) -> list[str]:
        """Ids of the jobs that it has."""
        return [each.job for each in self._node.supervisor.workers() if each.job is not None]

    def stop(self) -> None:
        """Let its jobs keep their state."""
        if self._stopped.acquire(blocking=False):
            self._node.stop(self._drain_seconds)
            self._closing.close()
