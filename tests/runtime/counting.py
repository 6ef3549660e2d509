"""How much memory an operation takes, on tensors without content."""

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Counted(TorchDispatchMode):
    """The most bytes that are alive at once, and those that all but matrix products and attention read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak, self.now, self.moved = 0, 0, 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, name = func(*args, **(kwargs or {})), str(func)
        read, made = ([t for t in tree_leaves(tree) if isinstance(t, Tensor)] for tree in ((args, kwargs), result))
        seen = {t.untyped_storage()._cdata for t in read}
        is_view = all(t.untyped_storage()._cdata in seen for t in made) and not func._schema.is_mutable
        if not is_view and not any(product in name for product in ("mm", "linear", "empty")):
            self.moved += sum(t.nbytes for t in (*read, *made))
        for storage in (t.untyped_storage() for t in made):
            if storage._cdata not in seen and storage._cdata not in self._alive:
                self._alive.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _free(self, storage: int, size: int) -> None:
        self._alive.discard(storage)
        self.now -= size
