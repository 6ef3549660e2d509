"""What the Wan models can do, how they are and how they do: /wan-models."""

from typing import Annotated

from fastapi import Path, Query

from wanvideo.server.catalog import wire_type
from wanvideo.server.deps import CatalogDep, PartsDep
from wanvideo.server.health import health_of
from wanvideo.server.history import performance
from wanvideo.server.model_views import defaults_of, inputs_of, limits_of, model_view, needs_of, now
from wanvideo.server.parts import API_VERSION, Parts
from wanvideo.server.recommend import Priority, compare, recommend
from wanvideo.server.responses import group
from wanvideo.server.schemas.models import ModelHealth, Performance
from wanvideo.server.schemas.wan_models import Capabilities, Comparison, Dashboard, Recommendation, WanModelsStatus
from wanvideo.weights.entry import ModelEntry

router = group("wan-models", "/wan-models")

ModelType = Annotated[str, Path(max_length=100, description="A model or a type, in any spelling.")]


@router.get("/capabilities/{model_type}")
def get_wan_model_capabilities(model_type: ModelType, parts: PartsDep) -> Capabilities:
    return capabilities(parts, parts.catalog.at(model_type))


@router.get("/health/{model_type}")
def get_wan_model_health(model_type: ModelType, parts: PartsDep) -> ModelHealth:
    return health_of(parts, parts.catalog.at(model_type), parts.runs())


@router.get("/performance/{model_type}")
def get_wan_model_performance(model_type: ModelType, parts: PartsDep) -> Performance:
    """Measured on this computer."""
    return performance(parts.catalog.at(model_type), parts.runs())


@router.get("/compare/{model_a}/{model_b}")
def compare_wan_models(
    model_a: Annotated[str, Path(max_length=100)], model_b: Annotated[str, Path(max_length=100)], parts: PartsDep
) -> Comparison:
    return compare(parts, parts.catalog.at(model_a), parts.catalog.at(model_b))


@router.get("/recommend")
def recommend_wan_model(
    parts: PartsDep,
    use_case: Annotated[str, Query(max_length=200)] = "general",
    quality_priority: Priority = "medium",
    speed_priority: Priority = "medium",
    memory_constraint_gb: Annotated[float | None, Query(ge=1, le=1024)] = None,
) -> Recommendation:
    """A model for a use and this computer, with the rules and plans that led to it."""
    return recommend(parts, use_case, quality_priority, speed_priority, memory_constraint_gb)


@router.get("/dashboard")
def get_wan_models_dashboard(parts: PartsDep) -> Dashboard:
    """Everything about the three types at once."""
    entries, runs = list(parts.catalog.wire_entries().values()), parts.runs()
    hardware = parts.hardware()
    return Dashboard(
        models=[
            model_view(
                parts.catalog.presence(entry),
                hardware,
                loaded=parts.is_loaded(entry.id),
                download=parts.downloads.get(entry.id),
            )
            for entry in entries
        ],
        health={entry.id: health_of(parts, entry, runs) for entry in entries},
        performance={entry.id: performance(entry, runs) for entry in entries},
        timestamp=now(),
    )


@router.get("/status")
def get_wan_models_status(catalog: CatalogDep) -> WanModelsStatus:
    ready = [name for name, each in catalog.presences().items() if each.ready]
    wire = {entry.id for entry in catalog.wire_entries().values()}
    return WanModelsStatus(
        status="operational" if wire <= set(ready) else "degraded",
        available_models=ready,
        api_version=API_VERSION,
        timestamp=now(),
    )


def capabilities(parts: Parts, entry: ModelEntry) -> Capabilities:
    precisions = [variant.id for variant in entry.variants]
    return Capabilities(
        model_id=entry.id,
        model_type=wire_type(entry),
        supported_resolutions=[f"{width}x{height}" for width, height in entry.usual_sizes],
        max_frames=entry.limits.max_frames,
        min_frames=1,
        frame_rule="4 n + 1; other numbers are rounded to the nearest",
        supported_fps=[entry.defaults.fps],
        input_types=inputs_of(entry),
        output_formats=["mp4", "png"],
        quantization_support=precisions,
        lora_support=entry.takes_loras,
        experts=entry.experts,
        defaults=defaults_of(entry),
        limits=limits_of(entry),
        good_at=entry.good_at,
        hardware_requirements=needs_of(entry, parts.catalog.presence(entry).model, parts.hardware()),
    )
