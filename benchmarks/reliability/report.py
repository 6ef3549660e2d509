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
    for name, rows in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not place.search(page):
            raise ValueError(f"the page has no place for {name}: write {begin} and {end} where its table belongs")
        text = f"{begin}\n{table(rows)}\n{end}"
        page = place.sub(lambda _match, text=text: text, page, count=1)  # type: ignore[misc]
    return page
