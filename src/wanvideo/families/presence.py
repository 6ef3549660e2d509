"""Which models are on disk, and what is wrong with those that are not. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from wanvideo.errors import ModelMissing, WanVideoError
from wanvideo.families.protocol import InstalledModel
from wanvideo.families.registry import Search
from wanvideo.weights.entry import ModelEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether a model is on disk: `model` if it is, else `problem`, whose message says how to get it."""

    spec: ModelEntry
    model: InstalledModel | None = None
    problem: WanVideoError | None = None

    @property
    def ready(self) -> bool:
        return self.model is not None

    @property
    def state(self) -> str:
        """ready, missing, or unusable: something is wrong with the files."""
        if self.model is not None:
            return "ready"
        return "missing" if isinstance(self.problem, ModelMissing) else "unusable"

    def facts(self) -> Mapping[str, object]:
        """For programs."""
        spec, model, problem = self.spec, self.model, self.problem
        return {
            "id": spec.id,
            "title": spec.title,
            "family": spec.family,
            "base": spec.base,
            "demo": spec.demo,
            "tasks": spec.tasks,
            "takes_end_image": spec.takes_end_image,
            "good_at": spec.good_at,
            "needs": spec.needs,
            "licence": spec.licence,
            "repo_id": spec.repo_id,
            "state": self.state,
            "path": model.path if model else None,
            "precision": model.precision if model else None,
            "parts": model.parts if model else None,
            "bytes": model.nbytes if model else None,
            "problem": problem.message if problem else None,
        }


def look_for(spec: ModelEntry, search: Search) -> Presence:
    try:
        return Presence(spec=spec, model=search.find(spec)[0])
    except WanVideoError as error:
        return Presence(spec=spec, problem=error)
