"""Which model for what, by rules, plans and what is on disk; and what else would do."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal

from wanvideo.errors import WanVideoError
from wanvideo.failure.paths import without_folders
from wanvideo.families.upkeep import removal_of
from wanvideo.server.catalog import wire_type
from wanvideo.server.forecast import Wish, fits, forecast, usual
from wanvideo.server.history import performance
from wanvideo.server.model_views import GIB, MIB, needs_of, now
from wanvideo.server.parts import Parts
from wanvideo.server.schemas.models import (
    Cleanup,
    CleanupBody,
    CleanupCandidate,
    ModelSuggestion,
    SuggestBody,
    Suggested,
)
from wanvideo.server.schemas.wan_models import AdviceCode, AdvicePoint, Comparison, ExpectedPerformance, Recommendation
from wanvideo.weights.entry import ModelEntry

Priority = Literal["low", "medium", "high"]
ADVICE: Final[Mapping[AdviceCode, str]] = {
    "from_picture": "The video begins with a picture.",
    "from_text": "The video is made from text alone.",
    "speed_first": "Speed counts more than quality, so models of few steps come first.",
    "fits": "{model} fits into this computer.",
    "on_disk": "Its files are here.",
    "to_download": "Its files have to be downloaded first.",
    "lacks_memory": "{model} lacks {memory} of memory here.",
    "needs_gpu": "{model} needs an NVIDIA GPU.",
    "cannot_plan": "{model} cannot be planned: {message}",
    "only_demo": "No real model fits into this computer; the built-in demo does.",
}
_FROM_PICTURE: Final = ("image", "picture", "photo", "i2v", "animate", "portrait")


def recommend(
    parts: Parts, use_case: str, quality: Priority, speed: Priority, memory_gb: float | None
) -> Recommendation:
    """By rules: the inputs of the use, then the speed or the quality that counts more, then what fits here."""
    picture = any(word in use_case.casefold() for word in _FROM_PICTURE)
    candidates = [
        entry for entry in parts.catalog.entries
        if not entry.demo and (entry.takes_image if picture else not entry.requires_image)
    ]  # fmt: skip
    limit = None if memory_gb is None else int(memory_gb * 2**30)
    fast_first = speed == "high" and quality != "high"
    candidates.sort(key=lambda entry: (entry.base is None) if fast_first else (entry.base is not None, -entry.rank))
    reasons = [_point("from_picture" if picture else "from_text")]
    if fast_first:
        reasons.append(_point("speed_first"))
    against: list[AdvicePoint] = []
    for entry in candidates:
        try:
            found = forecast(parts, entry, Wish(memory_limit=limit))
        except WanVideoError as error:
            against.append(_point("cannot_plan", model=entry.title, message=without_folders(error.message)))
            continue
        if found.machine.gpu is None:
            against.append(_point("needs_gpu", model=entry.title))
        elif fits(parts, found):
            ready = parts.catalog.presence(entry).ready
            reasons += _point("fits", model=entry.title), _point("on_disk" if ready else "to_download")
            return _recommendation(parts, entry, candidates, reasons, against)
        else:
            against.append(_point("lacks_memory", model=entry.title, short_bytes=found.plan.short_bytes))
    demo = parts.catalog.demo_of(parts.catalog.resolve("I2V-A14B" if picture else "T2V-A14B"))
    reasons.append(_point("only_demo"))
    return _recommendation(parts, demo, candidates, reasons, against)


def _point(code: AdviceCode, **values: str | int) -> AdvicePoint:
    short = values.get("short_bytes")
    gaps = {**values, "memory": f"{short / GIB:.1f} GiB"} if isinstance(short, int) else values
    return AdvicePoint(code=code, text=ADVICE[code].format(**gaps), values=dict(values))


def _recommendation(
    parts: Parts,
    entry: ModelEntry,
    others: Sequence[ModelEntry],
    reasons: list[AdvicePoint],
    against: list[AdvicePoint],
) -> Recommendation:
    found = usual(parts, entry)
    return Recommendation(
        recommended_model=entry.id,
        model_type=wire_type(entry),
        points=[*reasons, *against],
        reasoning=[point.text for point in reasons],
        alternative_models=[other.id for other in others if other.id != entry.id],
        hardware_requirements=needs_of(entry, parts.catalog.presence(entry).model, parts.hardware()),
        expected_performance=ExpectedPerformance(
            seconds=None if found is None else round(found.plan.seconds, 1),
            peak_mb=None if found is None else round(found.plan.peak_bytes / MIB, 1),
            rates=None if found is None else found.plan.rates,
        ),
        limitations=[point.text for point in against],
    )


def compare(parts: Parts, a: ModelEntry, b: ModelEntry) -> Comparison:
    """A usual video of each, as planned here, and what each measured here."""
    first, second = usual(parts, a), usual(parts, b)
    runs = parts.runs()
    measured = [performance(entry, runs).seconds_per_step for entry in (a, b)]
    speed = memory = None
    if first is not None and second is not None:
        speed = round(100 * (second.plan.seconds / first.plan.seconds - 1), 1)
        memory = round((second.plan.peak_bytes - first.plan.peak_bytes) / MIB, 1)
    step = None
    if measured[0] and measured[1]:
        step = round(100 * (measured[1] / measured[0] - 1), 1)
    return Comparison(
        model_a=a.id,
        model_b=b.id,
        performance_difference_percent=step,
        memory_usage_difference_mb=memory,
        speed_difference_percent=speed,
        recommendation=_verdict(a, b, speed),
        use_cases={a.id: a.good_at, b.id: b.good_at},
        trade_offs=[f"{entry.id}: needs {entry.needs}" for entry in (a, b)],
    )


def _verdict(a: ModelEntry, b: ModelEntry, speed: float | None) -> str:
    better = a if a.rank >= b.rank else b
    if speed is None:
        return f"by the catalog's order, {better.id} makes the better video"
    faster = a if speed >= 0 else b
    if faster is better:
        return f"{better.id}: the better video by the catalog's order, and planned to be no slower here"
    return f"{better.id} for the better video by the catalog's order; {faster.id} is planned to be faster here"


def substitutes(parts: Parts, body: SuggestBody) -> Suggested:
    """Models that take the same inputs and are ready, in the order of the fallback policy."""
    entry = parts.catalog.resolve(body.requested_model)
    presence = parts.catalog.presence(entry)
    width, height = map(int, body.resolution.split("x")) if body.resolution else (None, None)
    found: list[ModelSuggestion] = []
    for other in sorted(parts.catalog.entries, key=lambda each: (each.demo, -each.rank)):
        if other.id == entry.id or not parts.catalog.presence(other).ready or not _same_inputs(entry, other):
            continue
        try:
            plan = forecast(parts, other, Wish(width=width, height=height)).plan
        except WanVideoError:
            continue
        if not plan.fits or (body.max_wait_minutes is not None and plan.seconds > 60 * body.max_wait_minutes):
            continue
        found.append(
            ModelSuggestion(
                model=other.id,
                model_type=wire_type(other),
                reason="a built-in demo, which takes the same inputs" if other.demo else "takes the same inputs",
                ready=True,
                estimated_seconds=round(plan.seconds, 1),
            )
        )
    return Suggested(
        requested_model=entry.id,
        available=presence.ready,
        suggested_model=found[0].model if found else None,
        reasons=["rule: the same inputs, ready here, real models before demos"],
        alternatives=found,
        message=f"{entry.id} is {'ready' if presence.ready else 'not ready'}"
        + (f"; {found[0].model} would do" if found else ""),
    )


def _same_inputs(asked: ModelEntry, other: ModelEntry) -> bool:
    if asked.requires_image:
        return other.takes_image
    return not other.requires_image and (other.takes_image or not asked.takes_image)


def cleanup(parts: Parts, body: CleanupBody) -> Cleanup:
    """Real models, the longest unused first, until enough is free."""
    from wanvideo.weights.download.removal import remove

    runs = parts.runs()
    since = now() - timedelta(days=body.keep_recent_days)
    wanted = None if body.target_space_gb is None else int(body.target_space_gb * 1e9)
    found: list[CleanupCandidate] = []
    frees = 0
    unused = [
        (performance(entry, runs).last_used, entry)
        for entry in parts.catalog.entries
        if entry.variants and entry.base is None and parts.catalog.presence(entry).ready
    ]
    for last, entry in sorted(unused, key=lambda each: (each[0] is not None, each[0] or since)):
        if (last is not None and last >= since) or (wanted is not None and frees >= wanted):
            continue
        try:
            parts.check_unused(entry)
            removal = removal_of(entry, parts.cache, parts.catalog.families)
        except WanVideoError:  # in use, or not in the cache
            continue
        if not body.dry_run:
            remove(removal)
        frees += removal.frees_bytes
        reason = f"not used for {body.keep_recent_days} days" if last else "never used here"
        found.append(
            CleanupCandidate(model_id=entry.id, frees_bytes=removal.frees_bytes, last_used=last, reason=reason)
        )
    if found and not body.dry_run:
        parts.catalog.look_again()
    verb = "would be" if body.dry_run else "are"
    return Cleanup(
        dry_run=body.dry_run,
        frees_bytes=frees,
        models=found,
        message=f"{frees / 1e9:.1f} GB {verb} freed",
    )
