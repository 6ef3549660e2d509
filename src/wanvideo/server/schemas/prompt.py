"""Help with prompts."""

from pydantic import Field, model_validator

from wanvideo.server.schemas.common import LenientBody, Wire


class EnhanceOptions(LenientBody):
    apply_cinematic: bool = True
    apply_style: bool = True
    apply_vace: bool | None = None
    use_rules: bool = Field(default=False, description="Even where a language model is set.")


class PromptBody(LenientBody):
    """Also taken: the same object nested in `prompt`."""

    prompt: str = Field(max_length=16 * 1024)
    options: EnhanceOptions = EnhanceOptions()

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, value: object) -> object:
        inner = value.get("prompt") if isinstance(value, dict) else None
        return inner if isinstance(inner, dict) else value


class Enhanced(Wire):
    original_prompt: str
    enhanced_prompt: str
    enhancements_applied: list[str] = Field(description="Names of rules, or of the language model.")
    character_count: "EnhancedCount"
    vace_detected: bool
    detected_style: str | None = None


class EnhancedCount(Wire):
    original: int
    enhanced: int
    difference: int


class PromptPreview(Wire):
    original_prompt: str
    preview_enhanced: str
    suggested_enhancements: list[str]
    character_count: "PreviewCount"
    vace_detected: bool
    detected_style: str | None = None


class PreviewCount(Wire):
    original: int
    preview: int
    difference: int


class ValidateBody(LenientBody):
    prompt: str = Field(max_length=64 * 1024)


class Validated(Wire):
    is_valid: bool
    message: str
    character_count: int
    suggestions: list[str]


class TokensBody(LenientBody):
    prompt: str = Field(max_length=64 * 1024)
    model_type: str = Field(max_length=100)


class Tokens(Wire):
    tokens: int = Field(description="With the end token.")
    limit: int = Field(description="That the model uses; the rest of the prompt is cut.")


class StyleView(Wire):
    name: str
    display_name: str
    description: str


class Styles(Wire):
    styles: list[StyleView]
    total_count: int
