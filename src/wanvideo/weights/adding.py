"""Models that are already on disk, to be used where they lie. No torch."""

from wanvideo.errors import ModelMissing
from wanvideo.weights.assemble import undecided
from wanvideo.weights.catalog import MODELS
from wanvideo.weights.finding import survey_of
from wanvideo.weights.places import Added, Places
from wanvideo.weights.survey import Survey


def look_at(added: Added) -> Survey:
    """The networks of a file or folder that is to be registered.

    Raises ModelMissing if none of them is of Wan, and why it cannot be read if that is the reason.
    """
    found = survey_of(Places(added=(added,)))
    if found.transformers or found.vaes or found.text_encoders or found.tokenizers or found.diffusers:
        return found
    if found.problems:
        raise found.problems[0].error
    raise ModelMissing(f"{added.path} holds no weights of Wan that we can read", facts={"path": str(added.path)})


def needs_role(added: Added, found: Survey) -> bool:
    """Whether a file could be either expert of Wan 2.2, or a model of Wan 2.1, and nothing says which."""
    return added.path.is_file() and any(undecided(spec, found) for spec in MODELS)
