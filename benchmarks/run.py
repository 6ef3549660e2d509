"""Measure this machine, the engine on it, and diffusers beside it where that is installed: `make bench`.

    python -m benchmarks.run --json results.jsonl --markdown results.md
    python -m benchmarks.run --only ceilings,forward --shapes a14b-480p --peer-compiled

On an NVIDIA GPU, with random weights of full size; on a CPU, with the demo models. Each result is a line of JSON as
soon as it is known, and the tables are made from all of them at the end, also when a run is interrupted. What cannot
run is listed with its reason. Exits with 1 if something broke.
"""
# ruff: noqa: E402 - torch is told first what the product's processes tell it

from wanvideo.runtime.process import before_torch

before_torch()

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch

from benchmarks.speed import ceilings, demo, error, forward, load, lora, memory, merged, profile, stream, text, vae
from benchmarks.speed.bench import Bench
from benchmarks.speed.machine import describe
from benchmarks.speed.record import Log, SkipPart
from benchmarks.speed.report import markdown
from benchmarks.speed.shapes import SHAPES, shrunk
from wanvideo.request import Tier

PARTS: Final[Mapping[str, Callable[[Bench], None]]] = {
    "ceilings": ceilings.run,
    "forward": forward.run,
    "lora": lora.run,
    "error": error.run,
    "merged": merged.run,
    "profile": profile.run,
    "vae": vae.run,
    "text": text.run,
    "load": load.run,
    "stream": stream.run,
    "memory": memory.run,
    "demo": demo.run,
}
ON_ANY_CPU: Final = ("ceilings", "demo")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    device = _numbered(torch.device(options.device))
    command = "python -m benchmarks.run " + " ".join(sys.argv[1:] if arguments is None else arguments)
    full_size = device.type == "cuda" or options.tiny
    shapes = [SHAPES[name] for name in options.shapes] if full_size else []
    bench = Bench(
        device=device,
        log=Log(machine=describe(device, command.strip()), path=options.json),
        shapes=tuple(shrunk(shape) if options.tiny else shape for shape in shapes),
        tiers=tuple(Tier(name) for name in options.tiers),
        caps=tuple(float(cap) for cap in options.caps),
        wholes=tuple(options.wholes),
        peer=options.peer,
        peer_compiled=options.peer_compiled,
        quick=options.quick,
        tiny=options.tiny,
    )
    torch.backends.cudnn.benchmark = options.cudnn_search
    if options.tiny:
        torch.set_num_threads(1)  # threads only get in one another's way in networks as small as these
    try:
        for name in options.only:
            if full_size or name in ON_ANY_CPU:
                PARTS[name](bench)
                continue
            with bench.case(name, "full size", "wanvideo exact"):
                raise SkipPart("networks of full size are measured on a GPU; --tiny runs the code on small ones")
    finally:
        report = markdown(bench.log.run)
        print(report)
        if options.markdown is not None:
            options.markdown.parent.mkdir(parents=True, exist_ok=True)
            options.markdown.write_text(report, encoding="utf-8")
    for failure in bench.failures:
        logging.error("failed: %s", failure)
    return 1 if bench.failures else 0


def _numbered(device: torch.device) -> torch.device:
    """Which GPU, where only "cuda" was said: PyTorch limits the memory of a GPU that has a number."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument(
        "--only",
        type=_some_of(PARTS),
        help=f"of {','.join(PARTS)}; by default all, on a GPU without demo, a CPU's work",
    )
    parser.add_argument("--shapes", type=_some_of(SHAPES), default=list(SHAPES), help=f"of {','.join(SHAPES)}")
    parser.add_argument("--tiers", type=_some_of([t.value for t in Tier]), default=[t.value for t in Tier])
    parser.add_argument("--caps", type=_numbers, default=[8, 12, 16, 24], help="GiB of GPU memory (8,12,16,24)")
    parser.add_argument(
        "--wholes",
        type=_some_of(memory.VARIANTS),
        default=["plain"],
        help=f"pipelines of the part memory: of {','.join(memory.VARIANTS)} (plain)",
    )
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="also run diffusers")
    parser.add_argument("--peer-compiled", action="store_true", help="also with torch.compile; about 30 s a shape")
    parser.add_argument(
        "--cudnn-search", action="store_true", help="let cuDNN try its kernels first, which the product does not"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--tiny", action="store_true", help="miniature networks, to see that everything runs")
    parser.add_argument("--device", default=default, help=f"cuda, cuda:1 or cpu ({default})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append each result to this file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    options = parser.parse_args(arguments)
    if options.only is None:
        options.only = [name for name in PARTS if name != "demo" or options.device == "cpu"]
    return options


def _some_of(names: Sequence[str] | Mapping[str, object]) -> Callable[[str], list[str]]:
    def parse(value: str) -> list[str]:
        asked = value.split(",")
        if unknown := [name for name in asked if name not in names]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(names)}")
        return asked

    return parse


def _numbers(value: str) -> list[float]:
    try:
        return [float(number) for number in value.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r}: use numbers with commas between them") from error


if __name__ == "__main__":
    sys.exit(main())
