"""The web app: files that `npm run build` made, at every address that nothing else has."""

import os
from pathlib import Path, PurePosixPath
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from wanvideo.server.sign_in import wants_page

INDEX: Final = "index.html"

# Addresses of programs: what is unknown below them is an error in JSON, whoever asks.
PROGRAMS: Final = ("/api/", "/v1/", "/ws", "/thumbnails/", "/assets/")
# The names of files under /assets/ hold a hash of what is in them.
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASKED_AGAIN: Final = "no-cache"
# Said here, because a registry of the operating system may know better, and nosniff would then break the page.
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>wanvideo</title>
<style>body { font: 1rem/1.6 system-ui; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }</style>
<h1>The server works; its web app is not built</h1>
<p>Packages of wanvideo contain it. In a clone of the repository, build it once and reload this page:</p>
<pre>npm --prefix web ci
npm --prefix web run build</pre>
<p>Everything else is here: <a href="/openapi.json">the API</a>, and
<a href="/readyz">whether jobs can be done</a>.</p>
"""


def install(app: FastAPI, folder: Path) -> None:
    """Let `app` answer with the web app in `folder` what none of its own addresses takes.

    It is no route: the others stay as they are, with their answers to a wrong method or a missing slash.
    """
    app.router.default = WebApp(folder, otherwise=app.router.default)


class WebApp:
    """ASGI: a file of the app; its index, if a browser goes to one of the app's own addresses; or what comes next."""

    def __init__(self, folder: Path, otherwise: ASGIApp) -> None:
        self.folder = folder
        self.files = _Files(directory=folder, check_dir=False)
        self.otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._answer(scope) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        await (found or self.otherwise)(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response | None:
        path = str(scope["path"])
        if any(part.startswith(".") for part in path.split("/")):
            return None  # such as the manifest of the build
        if path != "/":
            if found := await self._file(path.lstrip("/"), scope):
                return found
            if path.startswith(PROGRAMS) or not wants_page(Headers(scope=scope)):
                return None
        return await self._file(INDEX, scope) or HTMLResponse(NOT_BUILT, 404)

    async def _file(self, name: str, scope: Scope) -> Response | None:
        try:
            return await self.files.get_response(name, scope)
        except HTTPException:
            return None


class _Files(StaticFiles):
    """With how long each may be kept."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = FOR_EVER if scope["path"].startswith("/assets/") else ASKED_AGAIN
        if response.status_code == 200 and (kind := _TYPES.get(PurePosixPath(full_path).suffix)):
            response.headers["content-type"] = kind
        return response
