"""Results as Markdown tables: `python -m benchmarks.speed.report results.jsonl` prints those of a file again."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.speed.record import OURS, Result, Run, read_runs

# Name of a number -> title of its column and format; in the order of the columns.
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "seconds": ("seconds", ".4g"),
    "planned_seconds": ("planned by measured rates", ".4g"),
    "first_seconds": ("first call, s", ".4g"),
    "fastest_seconds": ("fastest", ".4g"),
    "slowest_seconds": ("slowest", ".4g"),
    "cpu_seconds": ("CPU seconds", ".4g"),
    "step_seconds": ("s a step", ".4g"),
    "decode_seconds": ("decode, s", ".4g"),
    "denoise_seconds": ("denoising, s", ".4g"),
    "planned_denoise_seconds": ("planned", ".4g"),
    "encode_seconds": ("encoding, s", ".4g"),
    "planned_encode_seconds": ("planned", ".4g"),
    "planned_decode_seconds": ("decode, planned", ".4g"),
    "busy_seconds": ("GPU busy, s", ".4g"),
    "idle_seconds": ("idle between kernels, s", ".3g"),
    "longest_gap_seconds": ("longest gap, s", ".2g"),
    "calls": ("calls", ".0f"),
    "tflop_per_s": ("TFLOP/s", ".4g"),
    "gb_per_s": ("GB/s", ".4g"),
    "times_peer": ("times as fast as the peer", ".3f"),
    "roofline_seconds": ("roofline, s", ".4g"),
    "of_roofline": ("of the roofline", ".1%"),
    "tile_work": ("pixels worked on", ".3f"),
    "times_whole": ("times the whole", ".3f"),
    "times_without": ("times without it", ".3f"),
    "times_resident": ("times the resident time", ".3f"),
    "resident_blocks": ("blocks resident", ".0f"),
    "peak_gib": ("peak GiB", ".2f"),
    "planned_peak_gib": ("planned peak", ".2f"),
    "denoise_peak_gib": ("peak while denoising", ".2f"),
    "planned_denoise_gib": ("planned", ".2f"),
    "decode_peak_gib": ("peak while decoding", ".2f"),
    "planned_decode_gib": ("planned for it", ".2f"),
    "host_rss_gib": ("host RSS, GiB", ".2f"),
    "denoise_host_gib": ("host RSS while denoising, GiB", ".2f"),
    "host_added_gib": ("added, GiB", ".2f"),
    "host_peak_gib": ("host memory added, GiB", ".2f"),
    "relative_error": ("relative error", ".2e"),
    "relative_error_to_exact": ("relative error to ours", ".2e"),
    "steps_computed": ("steps computed", ".0f"),
    "psnr_to_exact_db": ("PSNR to ours, dB", ".1f"),
    "relative_error_to_whole": ("relative error to the whole", ".2e"),
    "psnr_to_whole_db": ("PSNR to the whole, dB", ".1f"),
    "equal_to_resident": ("equal to resident", ".0f"),
}
TITLES: Final[Mapping[str, str]] = {
    "ceilings": "Ceilings of the machine",
    "agreement": "Agreement",
    "forward": "One forward, without guidance",
    "lora": "One forward with a LoRA on all matrices of its blocks",
    "error": "Error of lossy settings against exact, random weights (nearly even attention, which flatters)",
    "merged": "One product for q, k and v, or three",
    "profile": "Kernels of one forward",
    "vae": "Autoencoder",
    "text": "Text encoder",
    "load": "Loading from the page cache",
    "stream": "One forward under caps on GPU memory",
    "memory": "Whole pipelines under caps on GPU memory",
    "demo": "Demo models on a CPU",
}


def markdown(run: Run) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    lines = [
        "# Benchmark",
        "",
        f"{machine}. Random weights but for the demo models. Ratios are of this run: peer seconds by ours with the",
        "fastest run of the peer, and the time of all arithmetic at the measured ceilings by ours: of the tier fast,",
        "with 8-bit products and the best 8-bit attention that runs here alone.",
    ]
    for part, title in TITLES.items():
        if results := [result for result in run.results if result.part == part]:
            lines += ["", f"## {title}", "", *table(with_ratios(results))]
    return "\n".join(lines) + "\n"


def with_ratios(results: Sequence[Result]) -> list[Result]:
    """Our rows with how many times as fast as the fastest peer of the same case they are."""
    best: dict[str, float] = {}
    for result in results:
        if not result.subject.startswith((OURS, "machine")) and "seconds" in result.numbers:
            best[result.case] = min(result.numbers["seconds"], best.get(result.case, float("inf")))
    return [_compared(result, best.get(result.case)) for result in results]


def _compared(result: Result, peer: float | None) -> Result:
    if peer is None or not result.subject.startswith(OURS) or "seconds" not in result.numbers:
        return result
    numbers = {**result.numbers, "times_peer": peer / result.numbers["seconds"]}
    return Result(part=result.part, case=result.case, subject=result.subject, numbers=numbers, note=result.note)


def table(results: Sequence[Result]) -> Iterator[str]:
    names = [name for name in COLUMNS if any(name in result.numbers for result in results)]
    notes = any(result.note or result.skipped for result in results)
    titles = ["case", "who", *(COLUMNS[name][0] for name in names), *(["note"] if notes else [])]
    yield _row(titles)
    yield _row(["---"] * len(titles))
    for result in results:
        cells = [format(result.numbers[n], COLUMNS[n][1]) if n in result.numbers else "" for n in names]
        yield _row([result.case, result.subject, *cells, *([_remark(result)] if notes else [])])


def _remark(result: Result) -> str:
    if result.skipped is None:
        return result.note
    return f"{'**failed**' if result.failed else 'not run'}: {result.skipped}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    for path in sys.argv[1:]:
        for run in read_runs(Path(path)):
            print(markdown(run))


if __name__ == "__main__":
    main()
