"""Judge models in training on the GPU: `python -m training.demo.check DIR t2v-A14B-demo ti2v-5B-demo`.

Exports the weights of DIR and reads the frames of the clips that they make, without a video file between. For choosing
when to stop; the result that counts is that of `make judge`, on other scenes and other noise.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import wanvideo
from benchmarks.judge.judge import judge, score
from benchmarks.judge.trials import Given, trials
from training.demo.export import export
from wanvideo.pipelines.events import Frames

SEED = 4  # not that of `make judge`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+", choices=["t2v-A14B-demo", "ti2v-5B-demo"])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--guidance", type=float, help="instead of the model's own")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    exported = options.folder / f"exported-{options.models[0]}"
    export(options.folder, exported)
    with ProcessPoolExecutor() as readers:
        for model in options.models:
            wanted = list(trials(model, options.prompts, seed=SEED, given=Given.TEXT))
            readings = []
            with wanvideo.load(exported / model, device=options.device, dtype="float32") as pipeline:
                for trial in wanted:
                    request = wanvideo.GenerationRequest(
                        prompt=trial.scene.caption, seed=trial.seed, guidance=options.guidance
                    )
                    events = pipeline.generate(request)
                    frames = np.concatenate([event.frames for event in events if isinstance(event, Frames)])
                    readings.append(readers.submit(judge, frames))
            shares = score([reading.result() for reading in readings], [trial.scene for trial in wanted])
            print(json.dumps({"model": model, "guidance": options.guidance} | shares), flush=True)


if __name__ == "__main__":
    main()
