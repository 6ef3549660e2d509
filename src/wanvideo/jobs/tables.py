"""The tables, which the migrations make."""

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, text

METADATA: Final = MetaData()
# Of indexes of a few rows. SQLite uses them where a query says literally the same.
IS_FAVOURITE: Final = "favourite = 1"
IS_DELETION: Final = "kind = 'deleted'"
_SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")  # the only type that SQLite counts up by itself

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("model", String(200), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("spec", Text, nullable=False),  # JSON
    Column("batch", String(40)),
    Column("origin", String(40)),
    Column("priority", Integer, nullable=False),
    Column("rank", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("cancelling", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("worker", String(100)),
    Column("phase", String(16)),
    Column("failure", Text),  # JSON
    Column("result", Text),  # JSON
    Column("bytes", BigInteger),  # of the video
    Column("expires", Float),  # when it will be removed
    Column("favourite", Integer, nullable=False),
    Column("key", String(255), unique=True),  # of the client, so that a repeated request makes no second job
    Column("key_digest", String(64)),
    Index("jobs_turn", "state", "priority", "rank", "created", "id"),
    Index("jobs_newest", "created", "id"),
    Index("jobs_of_state", "state", "created", "id"),
    Index("jobs_of_model", "model", "created", "id"),
    Index("jobs_of_model_and_state", "model", "state", "created", "id"),
    Index("jobs_of_batch", "batch"),
    Index("jobs_finished", "finished"),
    Index("jobs_expiring", "expires"),
    Index("jobs_favourite", "created", "id", sqlite_where=text(IS_FAVOURITE), postgresql_where=text(IS_FAVOURITE)),
    # And jobs_of_prompt: the trigrams of what is searched. In SQLite it is a table, which triggers keep up to date.
)

# Kept up to date by triggers: how many jobs are in a state, and the bytes of their videos, as a sum over the shards.
TOTALS: Final = Table(
    "totals",
    METADATA,
    Column("state", String(16), primary_key=True),
    Column("shard", BigInteger, primary_key=True, autoincrement=False),  # of PostgreSQL, a connection; 0: of all
    Column("jobs", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("job", String(40), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("data", Text, nullable=False),  # JSON
    UniqueConstraint("job", "number"),
    Index("events_deleted", "at", sqlite_where=text(IS_DELETION), postgresql_where=text(IS_DELETION)),
    sqlite_autoincrement=True,  # a number is never given twice, also when the newest events are deleted
)

# What was measured. It stays when jobs are deleted.
RUNS: Final = Table(
    "runs",
    METADATA,
    Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("job", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("tier", String(16), nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String(16), nullable=False),  # a state
    Column("code", String(64)),  # of the failure
    Column("numbers", Text, nullable=False),  # JSON
    Index("runs_of_model", "model", "at"),
    Index("runs_newest", "at"),
)

SETTINGS: Final = Table(
    "settings",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),  # JSON
)

# The processes that run workers, where several have one database. See `wanvideo.jobs.nodes`.
NODES: Final = Table(
    "nodes",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("beats", BigInteger, nullable=False),  # a number that its node counts up
    Column("about", Text, nullable=False),  # JSON
)

# Messages about ends of jobs on their way to other servers. A row goes when its message has arrived or is given up.
DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("message", String(64), nullable=False),  # the same for every try
    Column("target", Text, nullable=False),  # an address
    Column("body", Text, nullable=False),  # JSON, as it is sent and signed
    Column("tries", Integer, nullable=False),
    Column("due", Float, nullable=False),
    Index("deliveries_due", "target", "due"),
)
