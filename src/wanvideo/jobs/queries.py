"""Which jobs, and in which order: the statements that only read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import (
    JSON,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Select,
    cast,
    func,
    select,
    text,
    tuple_,
    type_coerce,
    union,
)

from wanvideo.errors import InvalidRequest
from wanvideo.jobs.job import Job, State
from wanvideo.jobs.tables import IS_FAVOURITE, JOBS, TOTALS

# Those that wait, in the order in which they will run.
TURN: Final = (JOBS.c.priority.desc(), JOBS.c.rank, JOBS.c.created, JOBS.c.id)

ItemT = TypeVar("ItemT")
AT_ONCE: Final = 500  # values of one statement
MOST_COUNTED: Final = 200  # jobs, where more than states is asked for
FEW: Final = 5000  # jobs: to sort so many takes about as long as to look for a page of them from the newest job on
NEAR: Final = 64  # jobs of the queue, among which one may go before others
MADE: Final = JOBS.c.state == str(State.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs; everything unset lets all through."""

    states: frozenset[State] = frozenset()
    model: str | None = None
    text: str | None = None  # in the prompt
    batch: str | None = None
    favourite: bool | None = None
    since: float | None = None  # created then or later


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    jobs: tuple[Job, ...]
    next: str | None  # give it for the page after this one; None: there is none


ALL: Final = Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Of the jobs that wait, those that a worker may have, and of these, those that it wants now."""

    models: frozenset[str] | None = None  # None: all
    without: frozenset[str] = frozenset()  # jobs
    prefer: frozenset[str] | None = None  # models; None: whatever comes first
    leave: frozenset[str] = frozenset()  # models
    never: frozenset[str] = frozenset()  # models that it may not have

    def preferring(self, models: frozenset[str]) -> "Which":
        return replace(self, prefer=models)

    def leaving(self, models: frozenset[str]) -> "Which":
        return replace(self, leave=models)

    def except_for(self, models: frozenset[str]) -> "Which":
        return replace(self, never=models)


ANY: Final = Which()


def next_queued(which: Which = ANY) -> Select[Any]:
    """The job whose turn it is. By an index, however many wait: that has the priorities in the other direction.

    What is only wanted is looked for among the first `NEAR` of the highest priority.
    """
    may = [JOBS.c.state == str(State.QUEUED)]
    if which.models is not None:
        may.append(JOBS.c.model.in_(sorted(which.models)))
    if which.without:
        may.append(JOBS.c.id.not_in(sorted(which.without)))
    if which.never:
        may.append(JOBS.c.model.not_in(sorted(which.never)))
    highest = select(func.max(JOBS.c.priority)).where(*may).scalar_subquery()
    may.append(JOBS.c.priority == highest)
    within = (JOBS.c.rank, JOBS.c.created, JOBS.c.id)
    if which.prefer is None and not which.leave:
        return select(JOBS).where(*may).order_by(*within).limit(1)
    near = select(JOBS.c.id, JOBS.c.model).where(*may).order_by(*within).limit(NEAR).subquery()
    wanted = [] if which.prefer is None else [near.c.model.in_(sorted(which.prefer))]
    if which.leave:
        wanted.append(near.c.model.not_in(sorted(which.leave)))
    by_id = JOBS.c.id.in_(select(near.c.id).where(*wanted))
    return select(JOBS).where(by_id, is_in(State.QUEUED)).order_by(*within).limit(1)


def is_in(*states: State) -> ColumnElement[bool]:
    """For where another index than one of states has to be taken: else a database may read all jobs in a state."""
    return JOBS.c.state.concat("").in_([str(state) for state in states])


def picture_names(*, sqlite: bool) -> CompoundSelect[Any]:
    """Of stored pictures, each once; null where a job names none. Taken out of the specs by the database."""
    spec = as_json(JOBS.c.spec, sqlite=sqlite)
    some = JOBS.c.spec.contains('image"')
    return union(*(select(spec["request", name].as_string()).where(some) for name in ("image", "end_image")))


def as_json(column: ColumnElement[str], *, sqlite: bool) -> ColumnElement[Any]:
    return type_coerce(column, JSON) if sqlite else cast(column, JSON)


def has_index_of_prompts(connection: Connection) -> bool:
    """Whether this SQLite has full-text search, and had it when its tables were made."""
    return connection.exec_driver_sql("SELECT 1 FROM sqlite_schema WHERE name = 'jobs_of_prompt'").scalar() is not None


def few_with_text(connection: Connection, which: Filter) -> str | None:
    """SQLite's numbers of the jobs that may have the text, as JSON, by its index of prompts.

    None: there is no such index, or so many have it that they are found sooner from the newest job on. PostgreSQL
    decides that by itself.
    """
    if (trigrams := _trigrams(which.text)) is None or connection.dialect.name != "sqlite":
        return None
    if not has_index_of_prompts(connection):
        return None
    query = text(
        "SELECT count(*) AS many, json_group_array(rowid) AS numbers FROM "
        "(SELECT rowid FROM jobs_of_prompt WHERE jobs_of_prompt MATCH :trigrams LIMIT :most)"
    )
    found = connection.execute(query, {"trigrams": trigrams, "most": FEW + 1}).one()
    return str(found.numbers) if found.many <= FEW else None


def _trigrams(searched: str | None) -> str | None:
    """As SQLite's index is asked for them; None: there are none."""
    if searched is None or len(searched) < 3 or "\0" in searched:
        return None
    each = dict.fromkeys(searched[at : at + 3].replace('"', '""') for at in range(len(searched) - 2))
    return " AND ".join(f'"{trigram}"' for trigram in each)


def _searched(few: str | None) -> FromClause:
    """All jobs, or the few that `few_with_text` names."""
    if few is None:
        return JOBS
    # With a limit, SQLite reads these alone; else it may read all jobs in a state, and compare their numbers.
    by_number = text("jobs.rowid IN (SELECT value FROM json_each(:few))").bindparams(few=few)
    return select(JOBS).where(by_number).limit(FEW).subquery()


def _filtered(query: Select[Any], jobs: FromClause, which: Filter) -> Select[Any]:
    """Newest first."""
    if which.states:
        query = query.where(jobs.c.state.in_([str(state) for state in which.states]))
    if which.model is not None:
        query = query.where(jobs.c.model == which.model)
    if which.text is not None:
        query = query.where(jobs.c.prompt.icontains(which.text, autoescape=True))
    if which.batch is not None:
        query = query.where(jobs.c.batch == which.batch)
    if which.favourite is not None:
        query = query.where(text(IS_FAVOURITE) if which.favourite else jobs.c.favourite == 0)
    if which.since is not None:
        query = query.where(jobs.c.created >= which.since)
    return query.order_by(jobs.c.created.desc(), jobs.c.id.desc())


def newest(which: Filter, limit: int, cursor: str | None, few: str | None = None) -> Select[Any]:
    """A page and one more, newest first. Raises InvalidRequest for a cursor that no page gave.

    few: what `few_with_text` says.
    """
    jobs = _searched(few)
    query = _filtered(select(jobs), jobs, which).limit(limit + 1)
    if cursor is None:
        return query
    return query.where(tuple_(jobs.c.created, jobs.c.id) < tuple_(*_after(cursor)))


def stored_bytes(connection: Connection) -> int:
    """Of all videos."""
    query = select(func.coalesce(func.sum(TOTALS.c.bytes), 0)).where(TOTALS.c.state == str(State.SUCCEEDED))
    return int(connection.execute(query).scalar_one())


def counted(which: Filter, few: str | None = None) -> Select[Any]:
    """States and how many jobs are in them: looked up, unless more than states is asked for.

    Then the newest ones are counted, up to MOST_COUNTED, since to count a million takes seconds.
    """
    if which != Filter(states=which.states):
        jobs = _searched(few)
        found = _filtered(select(jobs.c.state), jobs, which).limit(MOST_COUNTED).subquery()
        return select(found.c.state, func.count()).group_by(found.c.state)
    query = select(TOTALS.c.state, func.sum(TOTALS.c.jobs)).group_by(TOTALS.c.state)
    return query.where(TOTALS.c.state.in_([str(state) for state in which.states])) if which.states else query


def cursor_of(job: Job) -> str:
    """Of the page that begins after this job."""
    return f"{job.created!r}:{job.id}"


def _after(cursor: str) -> tuple[float, str]:
    created, _, job = cursor.partition(":")
    try:
        return float(created), job
    except ValueError:
        raise InvalidRequest(f"cursor is {cursor!r:.60}: give what the page before gave as `next`") from None


def chunks(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
