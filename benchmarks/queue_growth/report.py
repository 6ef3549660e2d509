"""Lines of results to tables."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.queue_growth.calls import GOAL_MS
from benchmarks.queue_growth.crew import WRONG
from benchmarks.reliability.record import Record

SUBMITS: Final = 300.0  # a second, at least
READY: Final = 2.0  # seconds, at most
_NAMES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
Lines = Sequence[Mapping[str, Any]]


def pages(record: Record) -> dict[str, str]:
    """By mark."""
    made = {"calls": _calls, "chores": _chores, "workers": _workers, "nodes": _nodes, "served": _served}
    found = {name: record.lines(name) for name in made}
    return {f"growth: {name}": _table(make(found[name])) for name, make in made.items() if found[name]}


def broken(record: Record) -> list[str]:
    """Goals that are missed."""
    return [*_slow(record.lines("calls")), *_wrong(record.lines("workers")), *_served_badly(record.lines("served"))]


def _slow(lines: Lines) -> Iterator[str]:
    for line in lines:
        for each in line["found"]:
            if _is_slow(each):
                yield f"{line['store']}: {each['call']}: {each['p99_ms']} ms, and {GOAL_MS:.0f} may be"


def _wrong(lines: Lines) -> Iterator[str]:
    for line in lines:
        for name in WRONG:
            if line[name]:
                yield f"{line['workers']} workers: {name} is {line[name]}, and has to be 0"


def _served_badly(lines: Lines) -> Iterator[str]:
    for store in sorted({line["store"] for line in lines}):
        if (found := _median(lines, store, "submits_per_second")) < SUBMITS:
            yield f"{store}: {found:.0f} submits a second, and {SUBMITS:.0f} have to be"
        if (found := _median(lines, store, "ready_seconds")) > READY:
            yield f"{store}: ready after {found:.1f} s, and {READY:.0f} may be"


def _calls(lines: Lines) -> Iterator[Sequence[str]]:
    stores = {_NAMES[line["store"]]: {each["call"]: each for each in line["found"]} for line in lines}
    yield ["p50 and p99 in ms", *stores, *(f"{store}, with the others" for store in stores)]
    for name in next(iter(stores.values())):
        found = [calls[name] for calls in stores.values()]
        alone = (f"{_two(call, '')}{' **(missed)**' if _is_slow(call) else ''}" for call in found)
        yield [name, *alone, *(_two(call, "with_others_") for call in found)]


def _two(call: Mapping[str, Any], prefix: str) -> str:
    values = (call[f"{prefix}p50_ms"], call[f"{prefix}p99_ms"])
    return " and ".join(f"{value:.0f}" if value >= 10 else f"{value:.2g}" for value in values)


def _is_slow(call: Mapping[str, Any]) -> bool:
    return bool(call["goal"] and call["p99_ms"] > GOAL_MS)


def _chores(lines: Lines) -> Iterator[Sequence[str]]:
    stores = {line["store"]: {each["chore"]: each["seconds"] for each in line["found"]} for line in lines}
    yield ["seconds", *(_NAMES[store] for store in stores)]
    for name in next(iter(stores.values())):
        yield [name, *(f"{found[name]:.3g}" for found in stores.values())]


def _workers(lines: Lines) -> Iterator[Sequence[str]]:
    yield ["workers", "jobs a second", "cores that they had", "a second and core", "CPU for a job: PostgreSQL, workers",
           "claim, p50 and p99", "report, p50 and p99", "leases", "lost, doubled, wrong"]  # fmt: skip
    for line in sorted(lines, key=lambda line: line["workers"]):
        yield [
            str(line["workers"]), f"{line['jobs_per_second']:.3g}", f"{line['cores']:.2g}",
            f"{line['jobs_per_second'] / line['cores']:.3g}",
            f"{line['postgres_cpu_ms_per_job']:.3g} and {line['workers_cpu_ms_per_job']:.3g} ms",
            f"{_time(line['claim_p50_ms'])} and {_time(line['claim_p99_ms'])}",
            f"{_time(line['report_p50_ms'])} and {_time(line['report_p99_ms'])}", str(line["attempts"]),
            str(sum(line[name] for name in WRONG)),
        ]  # fmt: skip


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"


def _nodes(lines: Lines) -> Iterator[Sequence[str]]:
    yield [
        "machines",
        "a beat",
        "a look at others",
        "hearing of an event",
        "PostgreSQL's cores: beats, looks",
        "events",
    ]
    for each in lines[-1]["found"]:
        times = (f"{each[f'{name}_ms']:.3g} ms" for name in ("beat", "look", "hear"))
        yield [str(each["nodes"]), *times, f"{each['there_cores']:.2g}", f"{each['hearing_cores']:.2g}"]


def _served(lines: Lines) -> Iterator[Sequence[str]]:
    stores = sorted({line["store"] for line in lines}, key=list(_NAMES).index)
    yield ["", *(_NAMES[store] for store in stores), "goal"]

    def usual(what: str, form: str, *names: str, goal: str = "") -> Sequence[str]:
        return [what, *(form.format(*(_median(lines, store, name) for name in names)) for store in stores), goal]

    yield ["rounds", *(str(sum(line["store"] == store for line in lines)) for store in stores), ""]
    yield usual("ready after", "{:.1f} s", "ready_seconds", goal=f"≤ {READY:.0f} s")
    yield usual("durable submits a second", "{:.0f}", "submits_per_second", goal=f"≥ {SUBMITS:.0f}")
    yield usual("CPU time of the server for one", "{:.2f} ms", "cpu_ms_per_submit")
    yield usual("submit, p50 and p99", "{:.0f} and {:.0f} ms", "submit_p50_ms", "submit_p99_ms")
    for name, what in (
        ("status", "GET of a job"), ("queue", "GET of the queue, 200 jobs"),
        ("gallery", "GET of the gallery, 60 videos"), ("search", "the same, with a search"),
    ):  # fmt: skip
        yield usual(f"{what}, p50 and p99", "{:.3g} and {:.3g} ms", f"{name}_p50_ms", f"{name}_p99_ms")


def _median(lines: Lines, store: str, name: str) -> float:
    return float(median(line[name] for line in lines if line["store"] == store))


def _table(rows: Iterator[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * (head.count('|') - 1)}", *rest])
