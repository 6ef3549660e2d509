"""What errors hold on to."""

import traceback


def drop_frames(error: BaseException) -> None:
    """Let go of the local variables of all that an error passed through: they hold tensors, and those hold memory."""
    todo: list[BaseException | None] = [error]
    done: set[int] = set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in done:
            continue
        done.add(id(each))
        traceback.clear_frames(each.__traceback__)
        each.__traceback__ = None
        todo += [each.__cause__, each.__context__]
