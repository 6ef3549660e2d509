"""The transformers of one run, each with its LoRAs for as long as it is at work."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from wanvideo.errors import LoraCorrupt, LoraError
from wanvideo.models.transformer import WanTransformer
from wanvideo.pipelines.loras import left_out
from wanvideo.pipelines.parts import Parts
from wanvideo.request import LoraPolicy, ResolvedLora, ResolvedRequest
from wanvideo.runtime.lora import applied
from wanvideo.runtime.text_memory import remembered_text
from wanvideo.sampling.guidance import Expert
from wanvideo.weights.lora.file import LoraFile, fit, read_lora
from wanvideo.weights.lora.tensors import Share, read_deltas, require_finite
from wanvideo.weights.variants import Part

_PARTS: Final = {Expert.HIGH: Part.TRANSFORMER, Expert.LOW: Part.TRANSFORMER_2}


class Transformers:
    """Gives the transformer of an expert with the LoRAs of the run on it; at the end, all are as they were.

    Only the expert that was asked for last has its LoRAs, and none is held on to after another was asked for: where
    memory has room for one, that would make it two.
    """

    def __init__(self, parts: Parts, loras: Sequence[ResolvedLora]) -> None:
        self._parts, self._loras = parts, loras
        self._current: tuple[Expert, WanTransformer] | None = None
        self._applied = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()

    def has(self, expert: Expert) -> bool:
        """Whether `get` gives it at once."""
        return self._current is not None and self._current[0] is expert

    def get(self, expert: Expert) -> WanTransformer:
        """The network, loaded if need be."""
        if not self.has(expert):
            self.let_go()
            transformer = self._parts.transformer(expert)
            deltas = read_deltas([share for lora in self._loras if (share := self._share(lora, expert)) is not None])
            context = applied(transformer, deltas, device=self._parts.device, dtype=self._parts.dtype)
            self._applied.enter_context(context)
            self._applied.enter_context(remembered_text(transformer))
            self._current = expert, transformer
        assert self._current is not None
        return self._current[1]

    def let_go(self) -> None:
        """Take the LoRAs off; the next that is asked for gets them again."""
        self._current = None
        self._applied.close()

    def _share(self, lora: ResolvedLora, expert: Expert) -> Share | None:
        strength = lora.strength if expert is Expert.HIGH else lora.strength_low
        if strength == 0:
            return None
        file = _unchanged(lora)
        targets = fit(file, self._parts.folder.transformers[0].config).of(_PARTS[expert])
        return Share(file=file, targets=targets, strength=strength)


class FiniteLoras:
    """Keeps LoRAs that hold NaN or infinity out; remembers which it has seen, for it means reading all of a file."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()  # digest, time of the last change

    def only(self, request: ResolvedRequest, policy: LoraPolicy) -> ResolvedRequest:
        """`request` without such LoRAs, and with an adjustment for each. With the policy "fail", raises LoraCorrupt."""
        for lora in request.loras:
            try:
                self._check(lora)
            except LoraError as error:
                if policy == LoraPolicy.FAIL:  # it may be plain text
                    raise
                request = replace(
                    request,
                    loras=tuple(other for other in request.loras if other is not lora),
                    adjustments=(*request.adjustments, left_out(lora.name, error)),
                )
        return request

    def _check(self, lora: ResolvedLora) -> None:
        mark = lora.digest, lora.path.stat().st_mtime_ns
        if mark not in self._seen:
            require_finite(_unchanged(lora))
            self._seen.add(mark)


def _unchanged(lora: ResolvedLora) -> LoraFile:
    """The file that was checked. Raises LoraCorrupt if another one has taken its place."""
    file = read_lora(lora.path)
    if file.digest != lora.digest:
        raise LoraCorrupt(f"{lora.path} was changed while it was in use: start again", facts={"path": str(lora.path)})
    return file
