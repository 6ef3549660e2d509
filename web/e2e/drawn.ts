import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { ENV, PYTHON } from "./server";

/** The first and the last frame of a drawn clip, as PNG files. */
export function drawn(folder: string): [first: string, last: string] {
  const paths = ["first.png", "last.png"].map((name) => join(folder, name)) as [string, string];
  const program = [
    "import sys, numpy as np",
    "from PIL import Image",
    "from benchmarks.judge.draw import draw, place",
    "from benchmarks.judge.scene import Scene",
    "scene = Scene(size='large', colour='yellow', shape='square', motion='moves right', background='brown')",
    "clip = draw(scene, place(scene, np.random.default_rng(5)))",
    "for frame, path in zip((clip[0], clip[-1]), sys.argv[1:]): Image.fromarray(frame).save(path)",
  ].join("\n");
  execFileSync(PYTHON, ["-c", program, ...paths], { env: ENV });
  return paths;
}
