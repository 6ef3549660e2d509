"""What a worker must know of the server that starts it. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wanvideo.jobs.folder import DataFolder
from wanvideo.media.naming import NameTemplate
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Added, Places, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Where everything lies, and what to compute with."""

    data: DataFolder
    places: Places
    library: LoraLibrary
    devices: tuple[str, ...] = ("auto",)  # several make each video together
    rank_patience: float | None = None  # seconds that one of several devices may be behind others; None: the usual ones
    names: NameTemplate = field(default_factory=NameTemplate)  # of finished files

    def to_json(self) -> dict[str, Any]:
        places, outputs = self.places, self.data.chosen_outputs
        return {
            "data": str(self.data.root),
            "outputs": None if outputs is None else str(outputs),
            "roots": [str(root) for root in places.roots],
            "hub_cache": None if places.hub_cache is None else str(places.hub_cache),
            "demo": str(places.demo),
            "added": [{"path": str(each.path), "role": each.role} for each in places.added],
            "registry": None if places.registry is None else str(places.registry),
            "loras": str(self.library.folder),
            "lora_roots": [str(root) for root in self.library.roots],
            "devices": list(self.devices),
            "rank_patience": self.rank_patience,
            "names": self.names.text,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "WorkerSettings":
        cache, outputs, registry = values["hub_cache"], values["outputs"], values["registry"]
        return cls(
            data=DataFolder(Path(values["data"]), None if outputs is None else Path(outputs)),
            places=Places(
                roots=tuple(map(Path, values["roots"])),
                hub_cache=None if cache is None else Path(cache),
                demo=Path(values["demo"]),
                added=tuple(
                    Added(path=Path(each["path"]), role=None if each["role"] is None else Role(each["role"]))
                    for each in values["added"]
                ),
                registry=None if registry is None else Path(registry),
            ),
            library=LoraLibrary(folder=Path(values["loras"]), roots=tuple(map(Path, values["lora_roots"]))),
            devices=tuple(values["devices"]),
            rank_patience=values["rank_patience"],
            names=NameTemplate(values["names"]),
        )
