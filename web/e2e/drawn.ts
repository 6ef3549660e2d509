import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { ENV, PYTHON } from "./server";

interface Shown {
  colour: string;
  shape: string;
  motion: string;
  background: string;
}

const SQUARE = { colour: "yellow", shape: "square", motion: "moves right", background: "brown" };

/** The first and the last frame of a drawn clip, as PNG files. */
export function drawn(folder: string, shown: Shown = SQUARE): [first: string, last: string] {
  const name = Object.values(shown).join(" ");
  const paths = ["first.png", "last.png"].map((each) => join(folder, `${name} ${each}`)) as [
    string,
    string,
  ];
  const program = [
    "import json, sys, numpy as np",
    "from PIL import Image",
    "from benchmarks.judge.draw import draw, place",
    "from benchmarks.judge.scene import Scene",
    "scene = Scene(size='large', **json.loads(sys.argv[1]))",
    "clip = draw(scene, place(scene, np.random.default_rng(5)))",
    "for frame, path in zip((clip[0], clip[-1]), sys.argv[2:]): Image.fromarray(frame).save(path)",
  ].join("\n");
  execFileSync(PYTHON, ["-c", program, JSON.stringify(shown), ...paths], { env: ENV });
  return paths;
}
