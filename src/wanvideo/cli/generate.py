"""`wan generate`: the options, and what they mean."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from wanvideo.cli.environment import NAME_TEMPLATE_VARIABLE
from wanvideo.cli.lora import lora_names
from wanvideo.cli.models import model_names
from wanvideo.cli.output import Output
from wanvideo.cli.values import number, paired, parse_bytes, parse_lora, parse_size, read_prompts, whole
from wanvideo.media.naming import USUAL, NameTemplate
from wanvideo.request import GenerationRequest, LoraPolicy, Solver, Tier


def generate(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What the video shows; - reads it from standard input.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A name from `wan models`, or a folder. Default: the best model on disk, else a demo.",
            autocompletion=model_names,
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a named model, which form: one from `wan models show`, such as fp8."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="An .mp4 file, or .png, .jpg, .webp for 1 frame; an existing one is replaced. In a folder, by default "
            "the current one, a new file is named after the prompt and the seed.",
        ),
    ] = None,
    name_template: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            envvar=NAME_TEMPLATE_VARIABLE,
            help="Of a new file in a folder, such as {date}-{model}-{seed}-{prompt}; also {time}, {size}, {frames}, "
            "{steps}.",
        ),
    ] = USUAL,
    prompts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Several prompts, one a line, in place of PROMPT; - is standard input."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            help="The first frame: a PNG, JPEG or WebP file. Given more than once, each makes a video, with the prompt "
            "or with that of its line."
        ),
    ] = None,
    end_image: Annotated[str | None, typer.Option(help="The last frame, for models that take one.")] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Such as 832x480; or 480p or 720p, in the shape of the image if there is one."
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(parser=whole, metavar="N", help="4 n + 1 of them; 1 makes a picture.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(parser=number, metavar="X", help="The length, instead of --frames.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(parser=whole, metavar="N", help="Of denoising: more are slower and better.")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            parser=number, metavar="X", help="How strictly the prompt is followed; 1: no guidance. Of both experts."
        ),
    ] = None,
    guidance_low: Annotated[
        float | None, typer.Option(parser=number, metavar="X", help="Of the low-noise expert, if it differs.")
    ] = None,
    shift: Annotated[
        float | None, typer.Option(parser=number, metavar="X", help="Above 1, more steps go to the high noise levels.")
    ] = None,
    solver: Annotated[Solver | None, typer.Option(help="How the steps are taken.")] = None,
    step_cache: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="X",
            help="Faster, and another video: a step that is expected to differ by less than this share, such as 0.05, "
            "from the last one computed takes its velocity. Default: 0, every step is computed.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(parser=whole, metavar="N", help="The same one gives the same video. Default: drawn.")
    ] = None,
    negative: Annotated[
        str | None, typer.Option(help='What the video must not show. Default: the model\'s; "" is really empty.')
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[high=|low=]NAME_OR_PATH[:STRENGTH]",
            help="A LoRA from `wan lora` or a file; may be given more than once. A name with high or low in it goes to "
            "that expert; :0.9/0.7 is a strength for each.",
            autocompletion=lora_names,
        ),
    ] = None,
    lora_policy: Annotated[
        LoraPolicy, typer.Option(help="What to do about a LoRA that cannot be used: go on without it, or fail.")
    ] = LoraPolicy.WARN,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(
            help="bfloat16, float16 or float32. Default: bfloat16 on a GPU (float16 before Ampere), float32 on the CPU."
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            parser=whole, metavar="N", help="Encode and decode in tiles of this many pixels a side, which saves memory."
        ),
    ] = None,
    tier: Annotated[
        Tier, typer.Option(help="exact; or fast, in 8 bits: quicker on a recent GPU, and the picture differs a little.")
    ] = Tier.EXACT,
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="BYTES", help="GPU memory to use at most, such as 12GiB. Default: what is free."),
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=1, metavar="N", help="Make the video on N GPUs of this computer together: faster.")
    ] = 1,
    save_state: Annotated[
        Path | None, typer.Option(help="Keep the state of the denoising in this file, to go on from later.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on from a file of --save-state; all other options must be the same.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Make it in this process, also if a server runs.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Download a named model that is not on disk, without asking.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the path of the result, and errors.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON event per line.")] = False,
) -> None:
    """Make a video from a prompt, and from images with models that take them. Prints the path of the file.

    Several prompts (--prompts) or images make several videos, one after the other.

    If a server runs, its queue makes the video, and the file is brought here. What is not said gets the model's
    default. Ctrl-C stops after the current step, also at the server; once more stops at once.
    """
    from wanvideo.cli.job import Job
    from wanvideo.cli.where import make

    request = GenerationRequest(
        prompt="",
        negative_prompt=negative,
        end_image=end_image,
        frames=frames,
        seconds=seconds,
        steps=steps,
        guidance=guidance,
        guidance_low=guidance_low,
        shift=shift,
        solver=solver,
        step_cache=step_cache,
        seed=seed,
        loras=tuple(parse_lora(text) for text in lora or ()),
        lora_policy=lora_policy,
    )
    if prompt is None and prompts is None:
        raise typer.BadParameter("say what the video shows: give PROMPT, or --prompts FILE")
    pairs = paired(read_prompts(prompt, prompts), image or [])
    job = Job(
        requests=tuple(_with(request, text, picture, size) for text, picture in pairs),
        model=model,
        variant=variant,
        yes=yes,
        out=out,
        names=NameTemplate(name_template),
        device=device,
        dtype=dtype,
        tile=tile,
        tier=tier,
        memory_limit=None if memory_limit is None else parse_bytes(memory_limit),
        gpus=gpus,
        save_state=save_state,
        resume=resume,
        local=local,
    )
    make(Output(json=json, quiet=quiet), job)


def _with(request: GenerationRequest, prompt: str, image: str | None, size: str | None) -> GenerationRequest:
    width, height = _size(size, image)
    return replace(request, prompt=prompt, image=image, width=width, height=height)


def _size(text: str | None, image: str | None) -> tuple[int | None, int | None]:
    """Width and height to ask for. A name such as 480p, with an image, means its short side."""
    if text is None:
        return None, None
    width, height = parse_size(text)
    if image is None or not text.strip().casefold().endswith("p"):
        return width, height
    from wanvideo.media.image import load_image

    picture = load_image(image)
    return (None, height) if picture.width >= picture.height else (height, None)
