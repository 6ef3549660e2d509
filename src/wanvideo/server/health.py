"""Is everything here that jobs need, and how are the models? Looked up, never assumed."""

from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import Final

from wanvideo.errors import WanVideoError
from wanvideo.failure.paths import without_folders
from wanvideo.families.upkeep import reports
from wanvideo.server import landlock
from wanvideo.server.catalog import wire_type
from wanvideo.server.history import Run, performance, recent
from wanvideo.server.parts import Parts
from wanvideo.server.schemas.models import Integration, ModelHealth
from wanvideo.server.schemas.system import Check, SystemInfo
from wanvideo.weights.entry import ModelEntry

ENGINE: Final = ("torch", "av", "safetensors", "tokenizers", "ftfy")  # modules of the extra `engine`
_HIGH, _VERY_HIGH = 80.0, 90.0  # percent of memory


def engine_missing() -> list[str]:
    """Modules of the engine that are not installed. None of them is imported."""
    return [name for name in ENGINE if find_spec(name) is None]


def checks(parts: Parts) -> list[Check]:
    """What must work for jobs to be done."""
    missing = engine_missing()
    return [
        parts.check_database(),
        parts.check_workers(),
        Check(
            name="engine",
            ok=not missing,
            detail=f"not installed: {', '.join(missing)}: pip install 'wanvideo[engine]'" if missing else "installed",
        ),
        parts.check_disk(),
    ]


def system_info(parts: Parts, found: Sequence[Check]) -> SystemInfo:
    """In words, for people."""
    taken = parts.monitor.latest.taken
    issues = [f"{check.name}: {check.detail}" for check in found if not check.ok]
    warnings, recommendations = [], []
    if taken.gpu is None:
        warnings.append("there is no NVIDIA GPU that can be used: only the demo models are quick here")
        if not parts.settings.demo:
            recommendations.append("`wan serve --demo` lets the three model types mean the built-in demo models")
    ready = [each for each in parts.catalog.presences().values() if each.ready and not each.spec.demo]
    if not ready:
        warnings.append("no real model is on disk: the built-in demo models work")
        if taken.gpu is not None:
            recommendations.append("download a model: ti2v-5B is the smallest of Wan 2.2")
    used = 100 * taken.host_used / taken.host_total
    if used > _HIGH:
        warnings.append(f"{used:.0f} % of host memory are in use")
    if taken.gpu is not None and (percent := 100 * (1 - taken.gpu.free / taken.gpu.total)) > _VERY_HIGH:
        warnings.append(f"{percent:.0f} % of GPU memory are in use")
    warnings += [without_folders(problem.message) for problem in parts.catalog.families.problems]
    if due := parts.retention.announced():
        warnings.append(
            f"{due} finished jobs will be removed with their videos, as /system/storage lists: favourites stay"
        )
    if not landlock.version():
        warnings.append(
            "this kernel has no Landlock: the processes that decode uploads could read what the server may read"
        )
    if parts.settings.insecure and not parts.settings.on_loopback:
        warnings.append("everybody who reaches this address may use the server: there is no token")
    return SystemInfo(issues=issues, warnings=warnings, recommendations=recommendations)


def integration_of(parts: Parts) -> Integration:
    found = checks(parts)
    ready = [name for name, each in parts.catalog.presences().items() if each.ready]
    failing = [f"{check.name}: {check.detail}" for check in found if not check.ok]
    engine = next(check for check in found if check.name == "engine")
    return Integration(
        status="unavailable" if not engine.ok else "degraded" if failing else "ready",
        workers=parts.workers(),
        engine=engine.ok,
        message="; ".join(failing) or "jobs run here",
        models_available=ready,
    )


def health_of(parts: Parts, entry: ModelEntry, runs: Sequence[Run]) -> ModelHealth:
    """How a model is on disk, and how it did in the last day."""
    presence = parts.catalog.presence(entry)
    lately = performance(entry, recent(runs, timedelta(hours=24)))
    state = {"ready": "healthy", "missing": "missing"}.get(presence.state, "corrupted")
    integrity = _integrity(parts, entry) if presence.ready else None
    if state == "healthy" and ((integrity is not None and integrity < 1) or (lately.success_rate or 1.0) < 0.5):
        state = "degraded"
    return ModelHealth.model_validate(
        {
            "model_id": entry.id,
            "model_type": wire_type(entry),
            "health_status": state,
            "message": without_folders(presence.problem.message) if presence.problem else "the files are in order",
            "integrity_score": integrity,
            "availability_score": 1.0 if presence.ready else 0.0,
            "error_count_24h": lately.failed,
            "runs_24h": lately.runs,
            "success_rate_24h": lately.success_rate,
            "last_errors": lately.last_errors,
        }
    )


def _integrity(parts: Parts, entry: ModelEntry) -> float | None:
    """The share of files without a fault, as far as can be seen without hashing; None for what was not downloaded."""
    if not entry.variants:
        return 1.0  # opened, with every header checked
    try:
        found = reports(entry, parts.cache)
    except WanVideoError:
        return None
    files = sum(report.files for _, report in found)
    faults = sum(len(report.faults) for _, report in found)
    return round(1 - faults / max(1, files + faults), 4)
