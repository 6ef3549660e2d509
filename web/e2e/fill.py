"""Put finished videos into a data folder, as a server and its worker do: python fill.py FOLDER COUNT.

Each is a job that was queued, begun and ended, with a file that plays and a thumbnail. What it shows was drawn, and
stands in its prompt, after its number.
"""

import itertools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.judge.draw import draw, place
from benchmarks.judge.scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, Scene
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.leases import Leases
from wanvideo.jobs.queue import Queue
from wanvideo.jobs.spec import JobSpec
from wanvideo.media.video import Video
from wanvideo.request import GenerationRequest
from wanvideo.worker.pictures import save_thumbnail

MODEL: Final = "t2v-A14B-demo"
FPS: Final = 8
DRAWN: Final = 60  # different ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One drawn video on disk, and what there is to say of it."""

    caption: str
    file: Path
    thumbnail: Path
    result: dict[str, Any]


def clip(folder: Path, number: int, scene: Scene) -> Clip:
    frames = draw(scene, place(scene, np.random.default_rng(number)))
    file, thumbnail = folder / f"{number}.mp4", folder / f"{number}.jpg"
    Video(frames=frames, fps=FPS).save(file)
    save_thumbnail(frames[len(frames) // 2], thumbnail)
    count, height, width, _ = frames.shape
    result = {"bytes": file.stat().st_size, "frames": count, "fps": FPS, "width": width, "height": height}
    return Clip(caption=scene.caption, file=file, thumbnail=thumbnail, result=result | {"steps": 20, "model": MODEL})


def scenes() -> list[Scene]:
    """As different as possible."""
    every = itertools.product(MOTIONS, SHAPES, COLOURS, BACKGROUNDS)
    return [
        Scene(size="large", colour=colour, shape=shape, motion=motion, background=background)
        for motion, shape, colour, background in every
    ]


def finish(queue: Queue, number: int, clip: Clip) -> None:
    """One more job that is done."""
    request = GenerationRequest(prompt=f"video {number}: {clip.caption}", seed=number, steps=20)
    [job] = queue.submit(JobSpec(model=MODEL, request=request))
    leases = Leases(queue)
    begun = leases.start(job.id, "drawn")
    assert begun is not None
    file, thumbnail = queue.folder.outputs / f"{job.id}.mp4", queue.folder.thumbnail(job.id)
    shutil.copyfile(clip.file, file)
    shutil.copyfile(clip.thumbnail, thumbnail)
    leases.succeed(begun, clip.result | {"file": file.name, "thumbnail": thumbnail.name})


def main(folder: Path, count: int) -> None:
    data = DataFolder(folder)
    data.make()
    database = Database(f"sqlite:///{data.database}")
    database.migrate()
    queue = Queue(database, data)
    every = scenes()
    with TemporaryDirectory() as drawn:
        chosen = every[:: len(every) // DRAWN][: min(DRAWN, count)]
        clips = [clip(Path(drawn), number, scene) for number, scene in enumerate(chosen)]
        for number in range(1, count + 1):
            finish(queue, number, clips[number % len(clips)])
    database.close()


main(Path(sys.argv[1]), int(sys.argv[2]))
