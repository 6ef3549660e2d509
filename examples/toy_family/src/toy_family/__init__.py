"""A model family for wanvideo that draws plasma: coloured waves, from a prompt and a seed."""

from toy_family.family import FAMILY

__all__ = ["FAMILY"]
