"""The application: addresses, and what every request goes through."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from wanvideo.server import errors, static
from wanvideo.server.addresses import Addresses
from wanvideo.server.events import socket
from wanvideo.server.guard import BodyLimits, Guard, Rules, hosts_of
from wanvideo.server.metrics import Metrics, Timing
from wanvideo.server.parts import Parts, package_version
from wanvideo.server.routes import (
    generation,
    health,
    inputs,
    lora,
    models,
    outputs,
    prompt,
    queue,
    recovery,
    system,
    thumbnails,
    videos,
    wan_models,
    workers,
)
from wanvideo.server.settings import Settings
from wanvideo.server.together import Together

THREADS = 40  # for what blocks: the database, the disk, children that decode
GROUPS = (generation, inputs, queue, outputs, models, wan_models, lora, prompt, system, workers, recovery)
ALIASED = (queue, outputs, system, prompt, generation)


def create_app(parts: Parts) -> FastAPI:
    """The server as an ASGI application. It starts to work, and closes the parts, with the ASGI server around it."""
    settings = parts.settings

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        parts.hub.open(await anyio.to_thread.run_sync(parts.queue.last_seq))
        await anyio.to_thread.run_sync(parts.start)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(parts.stop)
            parts.hub.close()

    app = FastAPI(
        title="wanvideo",
        summary="Make video with Wan 2.2 on your own GPU",
        version=package_version(),
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        webhooks=socket.frames,
    )
    app.state.parts = parts
    app.state.addresses = Addresses(app.openapi)
    app.state.submissions = Together(lambda asked: generation.submit_all(parts, asked))
    errors.install(app)
    app.include_router(health.router)
    app.include_router(thumbnails.router)
    app.include_router(socket.router, include_in_schema=False)
    app.include_router(socket.router, prefix="/api/v1")
    app.include_router(socket.sockets)
    for module in GROUPS:
        app.include_router(module.router, prefix="/api/v1")
    app.include_router(videos.router)
    if settings.root_aliases:
        for module in ALIASED:
            app.include_router(module.router, include_in_schema=False)
    static.install(app, settings.web_dir)
    _surround(app, settings, parts.metrics)
    return app


def _surround(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """What every request goes through, the last one first."""
    app.add_middleware(Timing, metrics=metrics)
    if settings.compat_origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.compat_origin,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            allow_credentials=False,
        )
    app.add_middleware(Guard, rules=rules_of(settings), methods=app.state.addresses.methods)


def rules_of(settings: Settings) -> Rules:
    image = 2 * settings.max_image_bytes + settings.max_json_bytes
    return Rules(
        hosts=hosts_of(settings.allowed_hosts),
        compat_origins=frozenset(settings.compat_origin),
        token=None if settings.token is None else settings.token.get_secret_value(),
        bodies=BodyLimits(
            usual=settings.max_json_bytes,
            forms={
                "/generation/submit": image,
                "/generation/batch": settings.max_batch_bytes,
                "/api/v1/inputs": settings.max_image_bytes + settings.max_json_bytes,
                "/v1/videos": image,
                "/lora/upload": settings.max_lora_bytes + settings.max_json_bytes,
                "/outputs/settings": settings.max_video_bytes + settings.max_json_bytes,
            },
            jsons={
                "/v1/videos": 4 * settings.max_image_bytes // 3 + settings.max_json_bytes,  # a data URL
                "/generation/batch": generation.MAX_BATCH_FIELD,
            },
            seconds=settings.body_seconds,
        ),
    )


def _operation_id(route: APIRoute) -> str:
    return route.operation_id or route.name
