"""Read what a clip shows: raw RGB from stdin, its number of frames, height and width as arguments; JSON to stdout."""

import json
import sys

import numpy as np

from benchmarks.judge.judge import judge

frames, height, width = map(int, sys.argv[1:])
clip = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(frames, height, width, 3)
seen = judge(clip)
names = ("background", "colour", "shape", "motion", "size")
first = clip[0].reshape(-1, 3).mean(0)
json.dump({name: getattr(seen, name) for name in names} | {"frames": frames, "mean": first.tolist()}, sys.stdout)
