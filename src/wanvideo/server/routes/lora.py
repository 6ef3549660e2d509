"""The LoRA library: /lora."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from anyio import to_thread
from fastapi import Query, Request

from wanvideo.errors import InvalidRequest, LoraError, LoraUnsafeFormat
from wanvideo.failure.paths import without_folders
from wanvideo.server import prompt as rules
from wanvideo.server.catalog import Catalog, wire_type
from wanvideo.server.deps import CatalogDep, LibraryDep, PartsDep
from wanvideo.server.errors import Conflict, NotFound
from wanvideo.server.forms import body_of, either, form_of, parsed
from wanvideo.server.model_views import MB, MIB, at
from wanvideo.server.receiving import Upload, one_file
from wanvideo.server.responses import group
from wanvideo.server.schemas.lora import (
    LoraKeys,
    LoraNotes,
    LoraPreview,
    LoraPreviewBody,
    LoraRemoved,
    Loras,
    LoraStatus,
    LoraUploaded,
    LoraUploadForm,
    LoraView,
    MemoryImpact,
)
from wanvideo.server.submission import check_disk
from wanvideo.weights.catalog import ModelSpec
from wanvideo.weights.lora.file import LoraFile, bytes_in_16_bits, fit, read_lora
from wanvideo.weights.lora.library import About, LoraEntry, LoraLibrary

router = group("lora", "/lora")

_PICKLES: Final = (".pt", ".pth", ".bin", ".ckpt")
# By the size of the file, as existing clients have it.
_LOW, _MEDIUM = 100.0, 300.0  # MB


@router.get("/list")
def list_loras(library: LibraryDep, catalog: CatalogDep, parts: PartsDep) -> Loras:
    """All LoRAs, with what each was made for."""
    in_use = parts.loras_in_use()
    views = [_view(entry, catalog, in_use) for entry in library.entries()]
    total = sum(view.size_mb for view in views)
    return Loras(loras=views, total_count=len(views), total_size_mb=round(total, 2))


@router.get("", operation_id="list_loras_short")
def list_loras_short(library: LibraryDep, catalog: CatalogDep, parts: PartsDep) -> Loras:
    """The same as /lora/list."""
    return list_loras(library, catalog, parts)


@router.post("/upload", openapi_extra=form_of(LoraUploadForm, "file"))
async def upload_lora(request: Request, library: LibraryDep, parts: PartsDep) -> LoraUploaded:
    """Add a LoRA to the library, after its header was read. A pickle is refused whatever its name."""
    assert library.folder is not None
    check_disk(parts)
    async with one_file(request, library.folder, parts.settings.max_lora_bytes) as upload:
        name = parsed(LoraUploadForm, upload.fields).name
        entry = await to_thread.run_sync(_add, library, upload, name)
    await to_thread.run_sync(parts.node.loras.share, [entry.name])
    return LoraUploaded(
        success=True,
        message=f"{entry.name} is in the library",
        lora_name=entry.name,
        file_path=entry.name,
        size_mb=round(entry.nbytes / MB, 2),
        name=entry.name,
        filename=entry.files[0].name,
        path=entry.name,
    )


def _add(library: LoraLibrary, upload: Upload, name: str | None) -> LoraEntry:
    """Under the name that was given, or that of the file."""
    called = Path(upload.name or "lora").name
    if Path(called).suffix.lower() in _PICKLES:
        raise LoraUnsafeFormat(
            f"{called:.100} is a pickle by its name, which can run any code when it is opened: get the LoRA as "
            "safetensors, or convert it where you trust it"
        )
    wanted = (name or Path(called).stem).strip()
    if any(entry.name.casefold() == wanted.casefold() for entry in library.entries()):
        raise Conflict(f"there is a LoRA called {wanted:.100} already: choose another name, or remove that one first")
    safe = "".join(char if char.isalnum() or char in " .+-_" else "_" for char in wanted)[:80] or "lora"
    path = upload.path.rename(upload.path.with_name(f"{safe}.safetensors"))  # errors speak of it by this name
    return library.add([path], name=wanted, move=True)


@router.get("/{name:path}/status")
def get_lora_status(name: str, library: LibraryDep, parts: PartsDep) -> LoraStatus:
    """Whether a LoRA is there, and in use."""
    try:
        entry = entry_of(name, library)
    except NotFound:
        return LoraStatus(name=name, exists=False, is_loaded=False, is_applied=False, current_strength=0.0)
    strength = parts.loras_in_use().get(entry.name)
    return LoraStatus(
        name=entry.name,
        exists=True,
        path=entry.name,
        size_mb=round(entry.nbytes / MB, 2),
        is_loaded=strength is not None,
        is_applied=strength is not None,
        current_strength=strength or 0.0,
        modified_time=at(_changed(entry)),
    )


@router.get("/{name:path}/memory-impact")
def get_lora_memory_impact(name: str, library: LibraryDep, parts: PartsDep) -> MemoryImpact:
    """What a LoRA adds to the memory that a model takes: its own size, in 16 bits."""
    entry = entry_of(name, library)
    nbytes = sum(_bytes_in_memory(path) for path in entry.files)
    gpu = parts.monitor.latest.taken.gpu
    free = gpu.free if gpu is not None else parts.monitor.latest.taken.host_available
    size, needed, available = entry.nbytes / MB, nbytes / MIB, free / MIB
    fits = needed <= available
    where = "GPU" if gpu is not None else "host"
    return MemoryImpact(
        lora_name=entry.name,
        name=entry.name,
        file_size_mb=round(size, 2),
        estimated_memory_mb=round(needed, 2),
        estimated_vram_increase_mb=round(needed, 2),
        vram_available_mb=round(available, 2),
        can_load=fits,
        compatible_with_current_setup=fits,
        memory_impact="low" if size < _LOW else "medium" if size < _MEDIUM else "high",
        recommendation=f"it takes {needed:.0f} MB of {where} memory beside the model"
        + ("" if fits else f", and {available:.0f} MB are free: the plan streams more of the model instead"),
    )


@router.post("/{name:path}/preview", openapi_extra=either(LoraPreviewBody))
async def preview_lora(name: str, request: Request, library: LibraryDep) -> LoraPreview:
    """A prompt with the words that call for the LoRA's style. Nothing is generated."""
    async with body_of(request) as fields:
        body = parsed(LoraPreviewBody, fields.values)
    entry = entry_of(name, library)
    base = (body.base_prompt or body.prompt or "").strip()
    if not base:
        raise InvalidRequest("base_prompt is empty: give the prompt to begin with")
    about = entry.about()
    missing = [word for word in about.trigger_words if word.casefold() not in base.casefold()]
    style = rules.style_of(" ".join((entry.name, about.notes)))
    return LoraPreview(
        lora_name=entry.name,
        base_prompt=base,
        enhanced_prompt=", ".join([base, *missing]),
        style_indicators=[*about.trigger_words, *([style.name] if style else [])],
        preview_note="the trigger words of the LoRA are added to the prompt"
        if about.trigger_words
        else "the LoRA names no trigger words: the prompt is used as it is",
    )


@router.get("/{name:path}/keys")
def get_lora_keys(
    name: str, library: LibraryDep, catalog: CatalogDep, model_type: Annotated[str, Query(max_length=100)]
) -> LoraKeys:
    """Which layers of a model a LoRA changes, and which of its tensors have no place there."""
    lora, model = entry_of(name, library), catalog.at(model_type)
    if not isinstance(model, ModelSpec) or not model.takes_loras:
        raise InvalidRequest(f"{model.id} takes no LoRAs: choose another model")
    matched: dict[str, None] = {}
    unmatched: list[str] = []
    try:
        for path in lora.files:
            fitted = fit(read_lora(path), model.transformer)
            matched |= dict.fromkeys(target.module for target in fitted.targets)
            unmatched += [*fitted.misfits, *fitted.file.image_branch]
    except LoraError as error:
        problem = without_folders(error.message)
        return LoraKeys(lora_name=lora.name, model_id=model.id, fits=False, problem=problem, matched=[], unmatched=[])
    return LoraKeys(lora_name=lora.name, model_id=model.id, fits=True, matched=list(matched), unmatched=unmatched)


@router.patch("/{name:path}/notes")
def describe_lora(name: str, body: LoraNotes, library: LibraryDep, catalog: CatalogDep, parts: PartsDep) -> LoraView:
    """Say which words call for a LoRA of the library, and what else should be known."""
    entry = entry_of(name, library)
    about = entry.about()
    if body.trigger_words is not None:
        about = replace(about, trigger_words=tuple(filter(None, map(str.strip, body.trigger_words))))
    if body.notes is not None:
        about = replace(about, notes=body.notes.strip())
    library.describe(entry.name, about)
    return _view(entry, catalog, parts.loras_in_use())


@router.delete("/{name:path}")
def remove_lora(name: str, library: LibraryDep, parts: PartsDep) -> LoraRemoved:
    """Delete a LoRA of the library; those that belong to other programs stay."""
    entry = entry_of(name, library)
    removed, freed = library.remove(entry.name)
    parts.node.loras.forget(removed.name)
    return LoraRemoved(success=True, message=f"{removed.name} is deleted", freed_mb=round(freed / MB, 2))


# --- what they share -------------------------------------------------------------------------------------------------


def entry_of(name: str, library: LoraLibrary) -> LoraEntry:
    """By its name alone: paths are not taken from the wire. Raises NotFound."""
    wanted = name.removesuffix(".safetensors").casefold()
    for entry in library.entries():
        if entry.name.casefold() == wanted:
            return entry
    raise NotFound(f"no LoRA is called {name!r:.100}: GET /api/v1/lora/list shows what there is")


def _view(entry: LoraEntry, catalog: Catalog, in_use: dict[str, float]) -> LoraView:
    try:
        read, about, problem = read_lora(entry.files[0]), entry.about(), None
    except LoraError as error:
        read, about, problem = None, About(), without_folders(error.message)
    changed = at(_changed(entry))
    strength = in_use.get(entry.name)
    models = [] if read is None else _models_for(read, catalog)
    return LoraView(
        name=entry.name,
        filename=entry.files[0].name,
        path=entry.name,
        size_mb=round(entry.nbytes / MB, 2),
        modified_time=changed,
        created_at=changed,
        models=[model.id for model in models],
        compatible_models=list(dict.fromkeys(wire_type(model) for model in models)),
        is_loaded=strength is not None,
        is_applied=strength is not None,
        current_strength=strength or 0.0,
        pair=len(entry.files) == 2,
        removable=entry.own,
        base=None if read is None else read.base,
        rank=None if read is None else next(iter(read.ranks), None),
        trigger_words=list(about.trigger_words),
        notes=about.notes or None,
        problem=problem,
    )


def _models_for(read: LoraFile, catalog: Catalog) -> list[ModelSpec]:
    """Those that it fits, in the order of the catalog."""
    found: list[ModelSpec] = []
    for entry in catalog.entries:
        if isinstance(entry, ModelSpec) and entry.takes_loras and entry.transformer.dim == read.width:
            try:
                fit(read, entry.transformer)
            except LoraError:
                continue
            found.append(entry)
    return found


def _bytes_in_memory(path: Path) -> int:
    """In 16 bits, whatever the file has."""
    try:
        return bytes_in_16_bits(read_lora(path).targets)
    except LoraError:
        return path.stat().st_size


def _changed(entry: LoraEntry) -> float:
    return max(path.stat().st_mtime for path in entry.files)
