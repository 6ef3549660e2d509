"""Checks of what a family says of its models, before any of them is loaded. No model has to be on disk."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from wanvideo.errors import ImageNotTaken, ImageRequired, InvalidRequest, UnknownModel
from wanvideo.families.protocol import Family
from wanvideo.testing import requests
from wanvideo.testing.check import refused, require
from wanvideo.weights import names
from wanvideo.weights.entry import ModelEntry

ENGINE: Final = ("torch", "safetensors", "tokenizers", "ftfy", "av")  # what the light install has not


def has_a_name_and_models(family: Family) -> None:
    require(isinstance(family, Family), f"{family!r} is no Family: it needs name, entries, adapt and look_in")
    require(
        re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", family.name) is not None,
        f"the name {family.name!r} is not short and lower case, such as 'toy' or 'my-family'",
    )
    require(len(family.entries) > 0, "entries is empty: a family has at least one model")
    for entry in family.entries:
        require(isinstance(entry, ModelEntry), f"{entry!r} in entries is no ModelEntry")
        require(entry.family == family.name, f"{entry.id}: family is {entry.family!r}, not {family.name!r}")


def describes_its_models(family: Family) -> None:
    for entry in family.entries:
        for field in ("id", "title", "licence", "good_at", "needs"):
            require(bool(getattr(entry, field).strip()), f"{entry.id!r}: {field} is empty")
        require(len(entry.tasks) > 0, f"{entry.id}: tasks is empty: say what videos are made from")
        require(not entry.takes_end_image or entry.takes_image, f"{entry.id}: takes an end image but no first one")
        bases = [other.id for other in family.entries if other.base is None]
        require(entry.base is None or entry.base in bases, f"{entry.id}: base {entry.base!r} is no model of the family")
        ids = [variant.id for variant in entry.variants]
        require(len(set(ids)) == len(ids), f"{entry.id}: two variants have the same id: {ids}")
        for variant in entry.variants:
            listed = bool(variant.files) and all(files.paths for files in variant.files)
            require(listed, f"{entry.id}, {variant.id}: no files")
            require(variant.nbytes is None or variant.nbytes > 0, f"{entry.id}, {variant.id}: the size is not positive")


def has_legal_defaults(family: Family) -> None:
    for entry in family.entries:
        d, limits = entry.defaults, entry.limits
        for side in (d.width, d.height):
            legal = side % limits.size_multiple == 0 and side >= limits.min_side
            require(
                legal,
                f"{entry.id}: a default side of {side} is no multiple of {limits.size_multiple} from {limits.min_side}",
            )
        require(d.width * d.height <= limits.max_area, f"{entry.id}: the default size has more than max_area pixels")
        require(
            d.frames % 4 == 1 and 1 <= d.frames <= limits.max_frames, f"{entry.id}: {d.frames} frames are not legal"
        )
        require(limits.max_frames % 4 == 1, f"{entry.id}: max_frames is {limits.max_frames}, which is not 4 n + 1")
        require(
            1 <= d.steps <= limits.max_steps,
            f"{entry.id}: {d.steps} default steps, at most {limits.max_steps} are legal",
        )
        require(d.fps > 0, f"{entry.id}: fps is {d.fps}")


def resolves_its_names(family: Family) -> None:
    seen: dict[str, str] = {}
    for entry in family.entries:
        for name in names.names_of(entry):
            require(name not in seen, f"{name!r} means both {seen.get(name)} and {entry.id}: change an id or alias")
            seen[name] = entry.id
        for spelling in (entry.id, entry.id.upper(), entry.id.replace("-", "_"), *entry.aliases):
            found = names.resolve(spelling, family.entries)
            require(found.id == entry.id, f"{spelling!r} resolves to {found.id}, not to {entry.id}")
    first = family.entries[0].id
    try:
        names.resolve(f"{first}x", family.entries)
    except UnknownModel as error:
        require(first in error.suggestions or f"{names.key(first)}x" in seen, f"{first}x does not suggest {first}")


def adapts_by_a_fixed_point(family: Family) -> None:
    """What was adapted once is legal as it stands, and defaults need no change."""
    for entry in family.entries:
        resolved = family.adapt(entry, requests.usual(entry))
        require(resolved.model == entry.id, f"{entry.id}: adapt says that the model is {resolved.model!r}")
        require(resolved.adjustments == (), f"{entry.id}: defaults are adjusted: {resolved.adjustments}")
        require(resolved.seed == requests.SEED, f"{entry.id}: adapt changes the seed")
        twice = family.adapt(entry, requests.again(resolved))
        require(twice == resolved, f"{entry.id}: adapting what was adapted changes it again:\n{resolved}\n{twice}")


def reports_every_change(family: Family) -> None:
    for entry in family.entries:
        base = requests.usual(entry)
        odd = replace(base, width=entry.defaults.width + 1, height=entry.defaults.height, frames=entry.defaults.frames)
        large = replace(base, width=8 * entry.defaults.width, height=8 * entry.defaults.height)
        for request in (odd, large, replace(base, frames=2)):
            resolved = family.adapt(entry, request)
            said = {change.field for change in resolved.adjustments}
            for field in ("width", "height", "frames"):
                asked, used = getattr(request, field), getattr(resolved, field)
                silent = asked is not None and asked != used and not said & {field, "size"}
                require(not silent, f"{entry.id}: {field} {asked} became {used}, and no adjustment says so")
            area = resolved.width * resolved.height
            require(area <= entry.limits.max_area, f"{entry.id}: {resolved.width}x{resolved.height} is above max_area")


def draws_a_seed(family: Family) -> None:
    for entry in family.entries:
        request = replace(requests.usual(entry), seed=None)
        seeds = {family.adapt(entry, request).seed for _ in range(8)}
        require(len(seeds) > 1, f"{entry.id}: without a seed, adapt gives {seeds.pop()} each time: draw one")


def refuses_what_it_cannot_do(family: Family) -> None:
    for entry in family.entries:
        for field, value, said in _illegal(entry):
            request = replace(requests.usual(entry), **{field: value})
            with refused(f"{entry.id}, {field} {value!r}", InvalidRequest, *said):
                family.adapt(entry, request)


def refuses_pictures_it_cannot_take(family: Family) -> None:
    for entry in family.entries:
        base, picture = requests.usual(entry), requests.gradient(64, 64)
        if not entry.takes_image:
            with refused(f"{entry.id}, an image", ImageNotTaken):
                family.adapt(entry, replace(base, image=picture))
        if entry.requires_image:
            with refused(f"{entry.id}, no image", ImageRequired):
                family.adapt(entry, replace(base, image=None))
        if entry.takes_image and not entry.takes_end_image:
            with refused(f"{entry.id}, an end image", ImageNotTaken):
                family.adapt(entry, replace(base, image=picture, end_image=picture))


def is_described_without_the_engine(family: Family) -> None:
    """A server and a catalog have to work where torch is not installed."""
    module = type(family).__module__
    done = _run_without(ENGINE, _LIST_ENTRIES, module, family.name)
    require(
        done.returncode == 0,
        f"{module} cannot be imported and listed without {', '.join(ENGINE)}: import them inside the functions that "
        f"load a model.\n{done.stderr.strip()[-2000:]}",
    )


def _illegal(entry: ModelEntry) -> Sequence[tuple[str, Any, tuple[str, ...]]]:
    """Fields, values that no model takes, and the limits that the message has to name."""
    limits = entry.limits
    least, frames, steps = str(limits.min_side), str(limits.max_frames), str(limits.max_steps)
    return (
        ("prompt", "", ()),
        ("prompt", " \n", ()),
        ("width", 1, (least,)),
        ("height", 0, (least,)),
        ("width", "wide", (least,)),
        ("frames", 0, (frames,)),
        ("frames", limits.max_frames + 1000, (frames,)),
        ("steps", 0, (steps,)),
        ("steps", limits.max_steps + 1, (steps,)),
        ("guidance", math.nan, (f"{limits.max_guidance:g}",)),
        ("guidance", limits.max_guidance + 1, (f"{limits.max_guidance:g}",)),
        ("solver", "none", ()),
        ("seed", -1, ("0",)),
    )


_LIST_ENTRIES: Final = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing, module, family = sys.argv[1].split(","), sys.argv[2], sys.argv[3]
sys.meta_path.insert(0, Missing())
members = vars(importlib.import_module(module)).values()
found = [member for member in members if not isinstance(member, type) and getattr(member, "name", None) == family]
assert found, f"{module} has no object whose name is {family!r}"
assert [entry.id for entry in found[0].entries]
"""


def _run_without(missing: Sequence[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new interpreter that finds what this one does, but not the packages `missing`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", code, ",".join(missing), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
