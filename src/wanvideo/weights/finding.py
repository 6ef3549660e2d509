"""Whole models, wherever their parts lie. No torch."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wanvideo.errors import ModelCorrupt, ModelIncomplete, ModelMismatch, ModelMissing, WanVideoError
from wanvideo.weights.assemble import Assembly, assemble, quality, undecided
from wanvideo.weights.catalog import MODELS, ModelSpec
from wanvideo.weights.folder import ModelFolder, open_folder, spec_of
from wanvideo.weights.headers import some
from wanvideo.weights.labels import speaks_of
from wanvideo.weights.layout import Config
from wanvideo.weights.places import MODEL_INDEX, Added, Places, repository, snapshots
from wanvideo.weights.survey import PICKLED, Survey, survey

log = logging.getLogger(__name__)


def survey_of(places: Places) -> Survey:
    """All networks of the models in the catalogue that lie in `places`; to be passed on when several are looked for."""
    return survey(places, (config for spec in MODELS for config in _architectures(spec)))


def find(
    spec: ModelSpec, places: Places, *, variant: str | None = None, found: Survey | None = None
) -> ModelFolder | None:
    """The model, wherever it is installed, in its best form; None if it is nowhere.

    variant: a precision, such as "fp8" or "q4_k_m", or a word in the names of the files. found: what `survey_of` gave.
    If all copies are incomplete or damaged, raises the error of the first.
    """
    return next(iter(find_all(spec, places, variant=variant, found=found)), None)


def find_all(
    spec: ModelSpec, places: Places, *, variant: str | None = None, found: Survey | None = None
) -> list[ModelFolder]:
    """Like `find`, but all of its forms, the best first."""
    if spec.demo:
        return [open_folder(places.demo / spec.id)] if (places.demo / spec.id).is_dir() else []
    found = found or survey(places, _architectures(spec))
    whole, errors = _whole_folders(spec, places, found)
    whole = [folder for folder in whole if variant is None or _is_variant(folder, variant)]
    sets = list(assemble(spec, found, variant))
    taken = {folder.transformers[0].files[0].path for folder in whole}
    assembled = [_folder(one) for one in sets if not one.missing(spec)]
    folders = [*whole, *(folder for folder in assembled if folder.transformers[0].files[0].path not in taken)]
    folders.sort(key=_loss)
    if not folders and (error := _why_not(spec, found, sets, errors)):
        raise error
    return folders


def open_loose(path: Path, places: Places) -> ModelFolder:
    """The model whose transformers lie in a file, or in a folder of any layout, with the rest from all `places`.

    Raises ModelIncomplete if there is none, or the reason why what is there makes no model.
    """
    wanted = survey_of(Places(added=(Added(path=path),)))
    here = {transformer.part.path for transformer in wanted.transformers}
    found = survey_of(replace(places, added=(Added(path=path), *places.added)))
    reasons: list[WanVideoError] = []
    for spec in MODELS:
        if spec.demo or not here:
            continue
        sets = [one for one in assemble(spec, found) if one.high is not None and one.high.path in here]
        if whole := [_folder(one) for one in sets if not one.missing(spec)]:
            return min(whole, key=_loss)
        if reason := _why_not(spec, replace(wanted, problems=()), sets, []):
            reasons.append(reason)
    reasons += [problem.error for problem in wanted.problems]
    if reasons:
        raise reasons[0]
    raise ModelIncomplete(
        f"{path} has no {MODEL_INDEX}, and holds no Wan transformer that we know: continue the download, or give "
        "another path",
        facts={"path": str(path)},
    )


def _whole_folders(
    spec: ModelSpec, places: Places, found: Survey
) -> tuple[list[ModelFolder], list[ModelIncomplete | ModelCorrupt | ModelMismatch]]:
    """The model in the Diffusers layout, and why what has its name is not it."""
    folders: dict[Path, ModelFolder] = {}
    errors: list[ModelIncomplete | ModelCorrupt | ModelMismatch] = []
    named = _candidates(spec, places)
    for path in dict.fromkeys([*named, *found.diffusers]):
        try:
            folder = open_folder(path)
            _check_is(spec, folder)
        except (ModelIncomplete, ModelCorrupt, ModelMismatch) as error:
            if path not in named:  # what is called otherwise may well be something else
                continue
            if (path / MODEL_INDEX).exists():
                log.warning("%s is not used: %s", path, error)
                errors.insert(0, error)
            elif not found.transformers:  # else it may well be in another layout, of which there is more to say
                errors.append(error)
        else:
            folders.setdefault(path.resolve(), folder)
    return list(folders.values()), errors


def _is_variant(folder: ModelFolder, variant: str) -> bool:
    return any(part.precision == variant.lower() for part in folder.transformers)


def _loss(folder: ModelFolder) -> int:
    return max(quality(part)[0] for part in folder.transformers)


def _architectures(spec: ModelSpec) -> Iterator[Config]:
    yield from (config for config in (spec.transformer, spec.vae, spec.text_encoder) if config is not None)


def _folder(parts: Assembly) -> ModelFolder:
    """Of a whole set."""
    assert parts.high is not None
    assert parts.vae is not None
    assert parts.text_encoder is not None
    assert parts.tokenizer is not None
    return ModelFolder(
        path=parts.high.path,
        transformers=(parts.high, parts.low) if parts.low else (parts.high,),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        boundary=None,
        expand_timesteps=None,
    )


def _why_not(
    spec: ModelSpec, found: Survey, sets: list[Assembly], errors: list[ModelIncomplete | ModelCorrupt | ModelMismatch]
) -> WanVideoError | None:
    """Why the model is not there although something of it is; None if nothing is."""
    if errors:
        return errors[0]
    # What is of another kind, or a pickle, does not keep anybody from getting the model.
    damaged = [
        problem.error
        for problem in found.problems
        if not (type(problem.error) is ModelMismatch or problem.path.suffix.lower() in PICKLED)
        and speaks_of(problem.path, spec.id)
    ]
    if damaged:
        return damaged[0]
    if sets:
        return _not_whole(spec, found, min(sets, key=lambda one: len(one.missing(spec))))
    if paths := undecided(spec, found):
        return ModelMismatch(
            f"{some([str(path) for path in paths])} could be the high-noise or the low-noise expert of Wan 2.2, or a "
            f"model of Wan 2.1, and the name does not say: run `wan models add {paths[0]} --as high`, or low, or only",
            facts={"model": spec.id, "path": str(paths[0])},
        )
    return None


def _not_whole(spec: ModelSpec, found: Survey, parts: Assembly) -> ModelIncomplete:
    """What is missing, and if a file of that kind is there, why it is of no use."""
    path = next(part.path for part in (parts.high, parts.low) if part is not None)
    missing = parts.missing(spec)
    words = [word for name, word in (("the autoencoder", "vae"), ("the text encoder", "t5")) if name in missing]
    useless = [p.error.message for p in found.problems if any(word in p.path.name.casefold() for word in words)]
    remedy = f" ({useless[0]})" if useless else ": download what is missing, or add it with `wan models add`"
    return ModelIncomplete(
        f"{spec.id} is not whole: {path} is there, but not {' and '.join(missing)}{remedy}",
        facts={"model": spec.id, "path": str(path), "missing": ", ".join(missing)},
    )


def require(spec: ModelSpec, places: Places, *, variant: str | None = None, found: Survey | None = None) -> ModelFolder:
    """Like `find`, but raises ModelMissing, which says how to get the model, if it is nowhere."""
    folder = find(spec, places, variant=variant, found=found)
    if folder is None:
        raise missing(spec, places, variant)
    return folder


def missing(spec: ModelSpec, places: Places, variant: str | None = None) -> ModelMissing:
    """How to get a model that is nowhere."""
    if spec.repo_id is None:
        return ModelMissing(f"{spec.id} should have come with wanvideo, in {places.demo}: install wanvideo again")
    command = f"wan models pull {spec.id}" + (f" --variant {variant}" if variant else "")
    form = f" as {variant!r:.60}" if variant else ""
    return ModelMissing(
        f"{spec.id}{form} is not on disk: `{command}` downloads it, and `wan models add` takes a copy that you have",
        suggestions=(command,),
        facts={"model": spec.id, "repo_id": spec.repo_id},
    )


def _candidates(spec: ModelSpec, places: Places) -> list[Path]:
    """Folders where the model could be, best first."""
    assert spec.repo_id is not None
    names = (spec.id, spec.repo_id.rpartition("/")[2], spec.repo_id)
    found = [root / name for root in places.roots for name in names if (root / name).is_dir()]
    if places.hub_cache is not None:
        found += snapshots(repository(places.hub_cache, spec.repo_id))
    return found


def _check_is(spec: ModelSpec, folder: ModelFolder) -> None:
    config, experts = folder.transformers[0].config, len(folder.transformers)
    if (config, experts) == (spec.transformer, spec.experts):
        return
    channels = config.in_channels, config.out_channels, experts
    if channels == (spec.transformer.in_channels, spec.transformer.out_channels, spec.experts):
        raise ModelMismatch(
            f"{folder.path} is called as {spec.title} is, and its transformer is another one "
            f"({config.num_layers} layers of {config.dim} channels): give the folder a name of its own"
        )
    raise ModelMismatch(f"{folder.path} holds {spec_of(folder).title}, not {spec.title}: rename the folder")
