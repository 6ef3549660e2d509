"""One of several processes that make a video together: does what all of them do; the first one says what happens.

python -m wanvideo.pipelines.rank SOCKET
"""

import sys
from contextlib import closing
from typing import NoReturn

from wanvideo.parallel.post import Post, take_part
from wanvideo.parallel.ranks import Ranks
from wanvideo.parallel.wire import Message
from wanvideo.pipelines.pipeline import Pipeline
from wanvideo.pipelines.recipe import Recipe
from wanvideo.pipelines.wire import event_message, from_json, read_request


def work(ranks: Ranks, post: Post, begin: Message) -> NoReturn:
    """Make videos until the process that started this one ends it, or is gone itself."""
    recipe = from_json(Recipe, begin.values["recipe"])
    pipeline = Pipeline(**recipe.arguments, device=str(ranks.device), ranks=ranks)
    while True:
        order = post.order()
        if order.kind == "run":  # what is left of the run before may still come
            _run(pipeline, ranks, post, order)


def _run(pipeline: Pipeline, ranks: Ranks, post: Post, order: Message) -> None:
    """One video, as far as it is allowed to go on: no rank may be in a step that another one does not take."""
    request, resume, previews = read_request(order)
    allowed = order.values["allowed"]
    with closing(pipeline.generate(request, resume=resume, previews=previews)) as events:
        for made, event in enumerate(events, start=1):
            if ranks.rank == 0:
                post.say(event_message(event))
            while made >= allowed:
                order = post.order()
                if order.kind == "stop":
                    return post.say(Message("ended"))
                allowed = order.values["allowed"]
    post.say(Message("ended"))
    return None


if __name__ == "__main__":
    take_part(int(sys.argv[1]), work)
