"""Classifier-free guidance, and which of two experts denoises a step."""

from enum import StrEnum

from torch import Tensor

from wanvideo.sampling.schedule import TRAIN_TIMESTEPS


class Expert(StrEnum):
    """A transformer, by the noise it was trained for. A model with only one calls it `HIGH`."""

    HIGH = "high"
    LOW = "low"


def expert_at(timestep: float, boundary: float | None) -> Expert:
    """The expert for a step: `HIGH` from `boundary` (a sigma; `None` = there is one transformer) upwards.

    `timestep`: the number given to the model, in [0, 1000]; it, not sigma, is what the official code compares.
    """
    return Expert.HIGH if boundary is None or timestep >= boundary * TRAIN_TIMESTEPS else Expert.LOW


def guide(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """The velocity pushed away from the negative prompt. Shapes as given, float32.

    At scale 1 this is `cond`: spare the model the second evaluation instead of calling this.
    """
    return uncond + scale * (cond - uncond)
