"""What addresses ask for by type.

All of it is a coroutine: FastAPI would run a plain function in a thread, which takes longer than the function.
"""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from wanvideo.server.catalog import Catalog
from wanvideo.server.downloads import Downloads
from wanvideo.server.inputs import Inputs
from wanvideo.server.parts import Parts
from wanvideo.server.prompt import Enhancer
from wanvideo.server.settings import Settings
from wanvideo.weights.lora.library import LoraLibrary


async def parts(connection: HTTPConnection) -> Parts:
    found = connection.app.state.parts
    assert isinstance(found, Parts)
    return found


PartsDep = Annotated[Parts, Depends(parts)]


async def _settings(parts: PartsDep) -> Settings:
    return parts.settings


async def _catalog(parts: PartsDep) -> Catalog:
    return parts.catalog


async def _inputs(parts: PartsDep) -> Inputs:
    return parts.inputs


async def _downloads(parts: PartsDep) -> Downloads:
    return parts.downloads


async def _library(parts: PartsDep) -> LoraLibrary:
    return parts.sources.library


async def _enhancer(parts: PartsDep) -> Enhancer | None:
    return parts.enhancer


SettingsDep = Annotated[Settings, Depends(_settings)]
CatalogDep = Annotated[Catalog, Depends(_catalog)]
InputsDep = Annotated[Inputs, Depends(_inputs)]
DownloadsDep = Annotated[Downloads, Depends(_downloads)]
LibraryDep = Annotated[LoraLibrary, Depends(_library)]
EnhancerDep = Annotated[Enhancer | None, Depends(_enhancer)]
