"""From a catalog entry to its files on disk: which variant, from where, and what instead if that fails. No torch."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from wanvideo.errors import InvalidRequest, UnknownVariant, WanVideoError
from wanvideo.weights.download.events import DownloadEvent
from wanvideo.weights.download.hub import Hub
from wanvideo.weights.download.plan import plan_download
from wanvideo.weights.download.run import Choice, download_first
from wanvideo.weights.entry import ModelEntry
from wanvideo.weights.pick import Hardware, pick_variant
from wanvideo.weights.places import Places
from wanvideo.weights.survey import files_at_hand
from wanvideo.weights.variants import RemoteFiles, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What would be downloaded for a model, decided before any network is asked."""

    entry: ModelEntry
    variants: tuple[Variant, ...]  # the one to get, and what to take in its place, in this order
    reason: str  # for the first
    named: bool = False  # by the user

    @property
    def variant(self) -> Variant:
        return self.variants[0]

    @property
    def nbytes(self) -> int | None:
        """Of the whole download, as the catalog has it; None where a size is not known."""
        return total_bytes(self.entry, self.variant)

    def facts(self) -> Mapping[str, str | int | None]:
        """For errors and events."""
        return {"model": self.entry.id, "variant": self.variant.id, "bytes": self.nbytes, "reason": self.reason}


def offer(entry: ModelEntry, hardware: Hardware, variant: str | None = None) -> Offer:
    """The named variant, or the one that suits the hardware and those no larger than it.

    Raises InvalidRequest if there is nothing to download, UnknownVariant.
    """
    if not entry.variants:
        raise InvalidRequest(f"{entry.id} comes with its package: there is nothing to download")
    if variant is not None:
        return Offer(entry=entry, variants=(named_variant(entry, variant),), reason="as asked", named=True)
    picked = pick_variant(entry, hardware)
    most = picked.variant.nbytes
    others = (v for v in entry.variants if v is not picked.variant and most and v.nbytes and v.nbytes <= most)
    return Offer(entry=entry, variants=(picked.variant, *others), reason=picked.reason)


def named_variant(entry: ModelEntry, name: str) -> Variant:
    """Raises UnknownVariant, with those that there are."""
    found = next((variant for variant in entry.variants if variant.id == name.casefold()), None)
    if found is None:
        ids = ", ".join(variant.id for variant in entry.variants)
        raise UnknownVariant(
            f"{entry.id} has no variant {name!r:.60}: there is {ids or 'none to download'}", facts={"model": entry.id}
        )
    return found


def files_of(entry: ModelEntry, variant: Variant) -> tuple[RemoteFiles, ...]:
    """Everything that a model needs as that variant, the LoRAs of a preset included."""
    return (*(files for lora in entry.loras for files in lora.files), *variant.files)


def total_bytes(entry: ModelEntry, variant: Variant) -> int | None:
    """Of the whole download; None where a size is not known."""
    sizes = [files.nbytes for files in files_of(entry, variant)]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def choices(offered: Offer, hubs: Sequence[Hub], places: Places) -> list[Choice]:
    """Every way to get what is offered, best first: each variant from the hub, and then from the mirrors.

    A file that lies elsewhere in `places` already, with the same bytes, is not fetched again.
    """
    assert places.hub_cache is not None, "there must be a cache to download to"
    at_hand = tuple(files_at_hand(places))
    return [
        Choice(
            title=f"{variant.id} from {hub.host}",
            plan=partial(plan_download, files_of(offered.entry, variant), hub, places.hub_cache, at_hand=at_hand),
        )
        for variant in offered.variants
        for hub in hubs
    ]


def obtain(offered: Offer, hubs: Sequence[Hub], places: Places) -> Generator[DownloadEvent, None, None]:
    """Download the model. Raises DownloadError if no choice succeeds, and Cancelled."""
    yield from download_first(choices(offered, hubs, places))


def with_offer(error: WanVideoError, offered: Offer) -> WanVideoError:
    """`error` of a model that is not here, which says what there is to download as well."""
    size = f" ({offered.nbytes / 1e9:.1f} GB)" if offered.nbytes else ""
    what = (
        f"As {offered.variant.id}{size}" if offered.named else f"What suits this computer is {offered.variant.id}{size}"
    )
    return type(error)(
        f"{error.message}. {what}: {offered.reason}",
        suggestions=error.suggestions or (f"wan models pull {offered.entry.id}",),
        facts={**error.facts, **offered.facts()},
    )
