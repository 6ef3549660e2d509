"""Which models stay loaded, with real demo models and memory of any size."""

from pathlib import Path

import pytest

from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import installed_families
from wanvideo.request import Tier
from wanvideo.weights.lora.library import LoraLibrary
from wanvideo.weights.places import Places
from wanvideo.worker.warm import Room, Wanted, WarmModels

GIB = 2**30
NEEDED = Room(device=10 * GIB, host=10 * GIB)


@pytest.fixture(scope="module")
def models() -> dict[str, InstalledModel]:
    families = installed_families()
    search = families.look_in(Places())
    return {name: search.find(families.resolve(f"{name}-demo"))[0] for name in ("t2v-A14B", "i2v-A14B", "ti2v-5B")}


def wanted(model: InstalledModel, **more: int) -> Wanted:
    return Wanted(
        model=model.entry.id, path=str(model.path), precision=model.precision, tier=Tier.EXACT, memory_limit=None,
        tile=more.get("tile"), device="cpu",
    )  # fmt: skip


class Memory:
    """Each loaded model takes so much of it."""

    def __init__(self, total: int, each: int = 10 * GIB) -> None:
        self.total, self.each = total, each
        self.warm = WarmModels(LoraLibrary(folder=Path("nowhere")), self.room)

    def room(self) -> Room:
        free = self.total - self.each * len(self.warm.names())
        return Room(device=free, host=free)

    def use(self, model: InstalledModel, **more: int) -> list[str]:
        self.warm.get(model, wanted(model, **more), NEEDED)
        return [name.removesuffix("-demo") for name in self.warm.names()]


def test_as_many_stay_as_there_is_room_for(models: dict[str, InstalledModel]) -> None:
    memory = Memory(100 * GIB)
    for model in models.values():
        memory.use(model)
    assert memory.use(models["t2v-A14B"]) == ["i2v-A14B", "ti2v-5B", "t2v-A14B"]
    memory.warm.free()
    assert memory.warm.names() == []


def test_the_one_that_was_used_longest_ago_makes_room(models: dict[str, InstalledModel]) -> None:
    memory = Memory(25 * GIB)
    memory.use(models["t2v-A14B"])
    memory.use(models["i2v-A14B"])
    memory.use(models["t2v-A14B"])
    assert memory.use(models["ti2v-5B"]) == ["t2v-A14B", "ti2v-5B"]


def test_what_does_not_fit_even_alone_gets_everything(models: dict[str, InstalledModel]) -> None:
    memory = Memory(9 * GIB, each=GIB)
    memory.use(models["t2v-A14B"])
    assert memory.use(models["i2v-A14B"]) == ["i2v-A14B"]


def test_a_model_is_not_held_twice_for_two_ways_to_use_it(models: dict[str, InstalledModel]) -> None:
    memory = Memory(100 * GIB)
    memory.use(models["t2v-A14B"])
    assert memory.use(models["t2v-A14B"], tile=128) == ["t2v-A14B"]
    assert len(memory.warm._loaded) == 1
