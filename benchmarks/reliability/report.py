"""Figures into a page, between the marks that bear the name of their proof."""

import re
from collections.abc import Mapping, Sequence

from benchmarks.reliability.record import Row


def table(rows: Sequence[Row]) -> str:
    lines = ["| | found | goal |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.figure} | {row.goal}{'' if row.kept else ' **(missed)**'} |" for row in rows]
    return "\n".join(lines)


def written(page: str, found: Mapping[str, Sequence[Row]]) -> str:
    """`page` with the tables of these proofs. Raises ValueError for a proof that has no place in it."""
    return placed(page, {name: table(rows) for name, rows in found.items()})


def placed(page: str, found: Mapping[str, str]) -> str:
    """`page` with these texts between their marks. Raises ValueError for one that has none."""
    for name, text in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not place.search(page):
            raise ValueError(f"the page has no place for {name}: write {begin} and {end} where its table belongs")
        page = place.sub(lambda _match, new=f"{begin}\n{text}\n{end}": new, page, count=1)  # type: ignore[misc]
    return page
