"""Help with prompts: /prompt."""

import unicodedata
from typing import Annotated, Final

from fastapi import Body

from wanvideo.errors import ModelMissing
from wanvideo.server import prompt as rules
from wanvideo.server.deps import CatalogDep, EnhancerDep, PartsDep, SettingsDep
from wanvideo.server.responses import group
from wanvideo.server.schemas.prompt import (
    Enhanced,
    EnhancedCount,
    PreviewCount,
    PromptBody,
    PromptPreview,
    Styles,
    StyleView,
    Tokens,
    TokensBody,
    ValidateBody,
    Validated,
)

router = group("prompt", "/prompt")

CLIENT_LIMIT: Final = 500  # characters, of existing clients' own forms

AnyPrompt = Annotated[PromptBody, Body()]


@router.post("/enhance")
async def enhance_prompt(body: AnyPrompt, enhancer: EnhancerDep) -> Enhanced:
    """Make a prompt longer: by the language model that the operator has set, else by rules, named as such."""
    options = body.options
    kinds = [kind for kind, on in (("cinematic", options.apply_cinematic), ("style", options.apply_style)) if on]
    if options.apply_vace:
        kinds.append("vace")
    if enhancer is not None and not options.use_rules:
        made = await enhancer.rewrite(body.prompt)
    else:
        made = rules.by_rules(body.prompt, kinds)
    style = rules.style_of(body.prompt)
    before, after = len(body.prompt), len(made.text)
    return Enhanced(
        original_prompt=body.prompt,
        enhanced_prompt=made.text,
        enhancements_applied=list(made.applied),
        character_count=EnhancedCount(original=before, enhanced=after, difference=after - before),
        vace_detected=rules.speaks_of_vace(body.prompt),
        detected_style=style.name if style else None,
    )


@router.post("/preview")
def preview_prompt(body: AnyPrompt) -> PromptPreview:
    """What the rules would add."""
    made = rules.by_rules(body.prompt, ("cinematic", "style"))
    style = rules.style_of(body.prompt)
    before, after = len(body.prompt), len(made.text)
    return PromptPreview(
        original_prompt=body.prompt,
        preview_enhanced=made.text,
        suggested_enhancements=list(made.applied),
        character_count=PreviewCount(original=before, preview=after, difference=after - before),
        vace_detected=rules.speaks_of_vace(body.prompt),
        detected_style=style.name if style else None,
    )


@router.post("/validate")
def validate_prompt(body: ValidateBody, settings: SettingsDep) -> Validated:
    """Whether a prompt would be taken, and what it could say as well."""
    text = body.prompt.strip()
    nbytes = len(text.encode("utf-8", "replace"))
    problem = None
    if not any(unicodedata.category(char)[0] not in "CZ" for char in text):
        problem = "the prompt is empty: say what the video should show"
    elif nbytes > settings.max_prompt_bytes:
        problem = f"the prompt has {nbytes} bytes, and at most {settings.max_prompt_bytes} are taken"
    long = f"; forms of existing clients take {CLIENT_LIMIT} characters" if len(text) > CLIENT_LIMIT else ""
    return Validated(
        is_valid=problem is None,
        message=problem or f"the prompt is fine{long}",
        character_count=len(body.prompt),
        suggestions=[] if problem else rules.remarks(text),
    )


@router.post("/tokens")
def count_prompt_tokens(body: TokensBody, catalog: CatalogDep, parts: PartsDep) -> Tokens:
    """How long a prompt is in the tokens of a model that is here."""
    presence = catalog.presence(catalog.resolve(body.model_type))
    if presence.model is None:
        raise presence.problem or ModelMissing(f"{presence.spec.id} is not on disk, and so its tokenizer is not")
    counted = parts.tokens.count(presence.model, body.prompt)
    return Tokens(tokens=counted.tokens, limit=counted.limit)


@router.get("/styles")
def list_prompt_styles() -> Styles:
    """The looks that prompts are searched for."""
    styles = [StyleView(name=each.name, display_name=each.title, description=each.about) for each in rules.STYLES]
    return Styles(styles=styles, total_count=len(styles))
