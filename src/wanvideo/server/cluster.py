"""Workers on the machines of a Ray cluster: one actor for each GPU, or for each group that makes a video together.

Ray decides where an actor lives and starts it again when it dies. It is told nothing else: an actor takes its jobs from
the database, as `wan worker join` does, so what Ray loses is neither a job nor the truth about one. Whoever reaches
Ray's ports may run programs there, so a cluster that does not ask for its token is refused.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wanvideo.errors import InvalidRequest, WanVideoError

log = logging.getLogger(__name__)

NAMESPACE: Final = "wanvideo"
_SECONDS: Final = 5.0  # between two looks at what the cluster has
_PROBE_SECONDS: Final = 60.0
_MISSING: Final = "Ray is not installed: pip install 'wanvideo[ray]'"


class ClusterUnsafe(InvalidRequest):
    """Ray runs what anybody sends it."""

    code = "RAY_WITHOUT_TOKEN"


class ClusterMissing(WanVideoError):
    """There is no Ray, or no cluster."""

    code = "RAY_MISSING"
    category = "server"


def require_token() -> None:
    """Raises ClusterUnsafe unless this process speaks to Ray with a token."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise ClusterUnsafe(
            "whoever reaches Ray's ports may run programs on all its machines: set RAY_AUTH_MODE=token here and where "
            "Ray is started, with the same RAY_AUTH_TOKEN_PATH (`ray get-auth-token --generate` makes a token)"
        )


class Cluster:
    """As many actors of a class as the cluster has GPUs, or groups of them. The class is named, and never sent."""

    def __init__(self, actor: type[Any], gpus: int = 1) -> None:
        """actor: is made with its name and `gpus`, those of one machine that make a video together; has `busy() ->
        list[str]`, ids of jobs, and `stop()`.
        """
        self._actor, self._gpus = actor, gpus
        self._groups: list[Any] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def start(self) -> None:
        """Join the cluster that RAY_ADDRESS names, or that runs here. Raises ClusterUnsafe, ClusterMissing."""
        require_token()
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ClusterMissing(_MISSING) from error
        try:
            ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError) as error:
            raise ClusterMissing(
                f"no Ray cluster answers: start one with `ray start --head --include-dashboard=false` ({error!s:.200})"
            ) from error
        if _is_open(ray.get_runtime_context().gcs_address):
            ray.shutdown()
            raise ClusterUnsafe(
                "the Ray cluster answers without its token: stop it, and start it on every machine with "
                "RAY_AUTH_MODE=token"
            )
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Let the jobs at work keep their state, for so long at most."""
        import ray

        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_SECONDS)
        if not ray.is_initialized():
            return
        ray.wait([group.stop.remote() for group in self._groups], num_returns=len(self._groups), timeout=seconds)
        ray.shutdown()

    def _run(self) -> None:
        import ray

        while True:
            try:
                there = groups(ray.nodes(), self._gpus)
            except ray.exceptions.RayError as error:
                log.warning("the Ray cluster does not answer: %s", error)
                there = 0
            while len(self._groups) < there:  # of a machine that left, the actor waits until there is another one
                self._groups.append(self._group(f"group-{len(self._groups)}"))
            if self._stopping.wait(_SECONDS):
                return

    def _group(self, name: str) -> Any:
        import ray
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        place = placement_group([{"GPU": self._gpus}], strategy="STRICT_PACK", name=name)
        options = {
            "name": name, "num_cpus": 0, "num_gpus": self._gpus, "max_restarts": -1,
            "max_task_retries": 0,  # whether a job is tried again says the database
            "scheduling_strategy": PlacementGroupSchedulingStrategy(place, placement_group_bundle_index=0),
        }  # fmt: skip
        return ray.remote(self._actor).options(**options).remote(name, self._gpus)


def groups(nodes: Sequence[Mapping[str, Any]], gpus: int) -> int:
    """How many groups of so many GPUs the machines have, as `ray.nodes` lists them: a group lives on one machine."""
    return sum(int(node["Resources"].get("GPU", 0)) // gpus for node in nodes if node["Alive"])


def _is_open(address: str) -> bool:
    """Whether a process that has no token is answered."""
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    found = subprocess.run(
        command, env=stranger | {"RAY_AUTH_MODE": "disabled"}, capture_output=True, timeout=_PROBE_SECONDS, check=False
    )
    return found.returncode == 0
