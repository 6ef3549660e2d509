"""Read what a clip shows: raw RGB from stdin, its number of frames, height and width as arguments; JSON to stdout."""

import json
import sys

import numpy as np

from benchmarks.judge.judge import judge
from benchmarks.judge.style import slant, straightened, style

frames, height, width = map(int, sys.argv[1:])
clip = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(frames, height, width, 3)
lean = slant(clip)
seen = judge(straightened(clip) if style(lean) == "slanted" else clip)
names = ("background", "colour", "shape", "motion", "size")
json.dump({name: getattr(seen, name) for name in names} | {"frames": frames, "style": style(lean)}, sys.stdout)
