"""Words of prompts: an index of them in SQLite, and more of what PostgreSQL knows about them.

PostgreSQL decides by samples whether few jobs have a word, and takes the index then. Of 100 prompts each is one in a
hundred: a word that one job in two thousand has, and one of the samples, was looked for from the newest job on.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"

# Trigrams and the jobs that have them, without where in the prompt: 80 bytes a job.
_INDEX: Final = (
    "CREATE VIRTUAL TABLE jobs_of_prompt USING fts5"
    "(prompt, content = 'jobs', tokenize = 'trigram', detail = none, columnsize = 0)"
)
# Eight parts are merged at a time, and not four. Else one submit in a hundred took 20 ms longer.
_SET: Final = "INSERT INTO jobs_of_prompt (jobs_of_prompt, rank) VALUES ('automerge', 8)"
_ADD: Final = "INSERT INTO jobs_of_prompt (rowid, prompt) VALUES (NEW.rowid, NEW.prompt);"
_REMOVE: Final = "INSERT INTO jobs_of_prompt (jobs_of_prompt, rowid, prompt) VALUES ('delete', OLD.rowid, OLD.prompt);"
_TRIGGERS: Final = {
    "prompt_added": f"AFTER INSERT ON jobs BEGIN {_ADD} END",
    "prompt_changed": f"AFTER UPDATE OF prompt ON jobs WHEN OLD.prompt <> NEW.prompt BEGIN {_REMOVE} {_ADD} END",
    "prompt_removed": f"AFTER DELETE ON jobs BEGIN {_REMOVE} END",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE jobs ALTER COLUMN prompt SET STATISTICS 500")
        op.execute("ANALYZE jobs")
    elif _has_trigrams():
        op.execute(_INDEX)  # filled when it is there: see `Database.migrate`
        op.execute(_SET)
        for name, does in _TRIGGERS.items():
            op.execute(f"CREATE TRIGGER {name} {does}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE jobs ALTER COLUMN prompt SET STATISTICS -1")
        return
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER IF EXISTS {name}")
    op.execute("DROP TABLE IF EXISTS jobs_of_prompt")


def _has_trigrams() -> bool:
    """Whether this SQLite has its full-text search; without it, searches read all prompts."""
    return op.get_bind().execute(sa.text("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")).scalar() is not None
