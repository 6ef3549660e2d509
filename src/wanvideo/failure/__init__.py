"""What went wrong with a job: codes, words, what was kept, and what to do about it. No torch."""

from wanvideo.failure.build import failure, failure_of, worker_lost
from wanvideo.failure.classify import STICKY, code_of, is_sticky
from wanvideo.failure.kinds import KINDS
from wanvideo.failure.paths import without_folders
from wanvideo.failure.values import SUGGESTION_CODES, Asked, Failure, Suggestion, SuggestionCode

CODES = frozenset(KINDS)

__all__ = [
    "CODES",
    "KINDS",
    "STICKY",
    "SUGGESTION_CODES",
    "Asked",
    "Failure",
    "Suggestion",
    "SuggestionCode",
    "code_of",
    "failure",
    "failure_of",
    "is_sticky",
    "without_folders",
    "worker_lost",
]
