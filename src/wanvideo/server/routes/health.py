"""Is the server there, and does it do its work? For people's clients, and for what watches over servers."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from wanvideo.server.deps import PartsDep
from wanvideo.server.health import checks
from wanvideo.server.model_views import now
from wanvideo.server.parts import API_VERSION, package_version
from wanvideo.server.responses import SAID, group
from wanvideo.server.schemas.common import Problem
from wanvideo.server.schemas.system import Alive, ApiHealth, Ready, RootHealth

router = group("health")


@router.get("/healthz", responses={500: {"model": Problem, "description": SAID[500]}})
async def get_alive() -> Alive:
    """The process answers."""
    return Alive(status="ok")


@router.get("/readyz", responses={503: {"model": Ready}})
def get_ready(parts: PartsDep, response: Response) -> Ready:
    """Jobs are done here: the database, a worker, the engine and the disk were looked at. 503 if not."""
    found = checks(parts)
    ready = all(check.ok for check in found)
    if not ready:
        response.status_code = 503
    return Ready(ready=ready, checks=found)


@router.get("/health")
def get_root_health() -> RootHealth:
    return RootHealth(status="healthy", timestamp=now(), version=package_version())


@router.get("/api/health")
def get_api_health() -> ApiHealth:
    return ApiHealth(status="healthy", api_version=API_VERSION)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_metrics(parts: PartsDep) -> Response:
    """For Prometheus."""
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_LATEST)
