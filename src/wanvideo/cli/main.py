"""`wan`: parse, run one command, and turn whatever goes wrong into one message and an exit code."""

import errno
import logging
import platform
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from wanvideo.cli import (
    backup,
    convert,
    doctor,
    generate,
    info,
    lora,
    models,
    outputs,
    plan,
    pull,
    queue,
    scan,
    serve,
    upkeep,
    worker,
)
from wanvideo.cli.environment import DEBUG_VARIABLE, debugging, package_version
from wanvideo.cli.output import (
    FAILED,
    INTERRUPTED,
    OK,
    EngineMissing,
    Output,
    UnexpectedError,
    UsageFault,
    exit_code,
)
from wanvideo.errors import Cancelled, DiskFull, NotEnoughMemory, WanVideoError

log = logging.getLogger(__name__)

EPILOG = (
    "Exit codes: 0 done, 2 wrong input, 130 interrupted, 1 anything else. "
    f"{DEBUG_VARIABLE}=1 shows tracebacks and log messages."
)

app = typer.Typer(
    name="wan",
    help="Make video with Wan 2.2 on your own GPU.",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate.generate)
models.app.command("add")(scan.add)
models.app.command("scan")(scan.scan)
models.app.command("convert")(convert.convert)
models.app.command("pull")(pull.pull)
models.app.command("verify")(upkeep.verify)
models.app.command("repair")(upkeep.repair_model)
models.app.command("remove")(upkeep.remove)
app.add_typer(models.app, name="models")
app.add_typer(lora.app, name="lora")
app.command("serve")(serve.serve)
app.add_typer(worker.app, name="worker")
app.command("outputs")(outputs.outputs)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(queue.app, name="queue")
app.command("plan")(plan.plan)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wan {package_version() or 'from source'} (Python {platform.python_version()})")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # Looked for here, since a command line that does not parse has to be reported as well.
    output = Output(json="--json" in arguments)
    _set_up_logging()
    try:
        return _run(arguments)
    except WanVideoError as error:
        log.debug("", exc_info=error)
        output.error(error)
        return exit_code(error)
    except Exception as error:  # the last stop: without it, a bug would greet users with a traceback
        if debugging():
            raise
        output.error(_unexpected(error))
        return FAILED


def _unexpected(error: Exception) -> WanVideoError:
    """In words, what no code below had a word for."""
    if isinstance(error, MemoryError):
        return NotEnoughMemory("the memory of this computer is full: close other programs, or make a smaller video")
    if isinstance(error, ModuleNotFoundError) and error.name in doctor.ENGINE:
        return EngineMissing(f"{error.name} is not installed: pip install 'wanvideo[engine]'")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk is full: make room ({error})")
    return UnexpectedError(
        f"unexpected {type(error).__name__}: {error}. This is a bug in wanvideo: please report it with what "
        f"{DEBUG_VARIABLE}=1 shows",
        facts={"type": type(error).__name__},
    )


def _run(arguments: list[str]) -> int:
    """Raises WanVideoError, also for what Typer finds wrong with the arguments and for Ctrl-C."""
    try:
        code = app(arguments, prog_name="wan", standalone_mode=False)
    except typer.TyperException as error:
        raise UsageFault(f"{' '.join(error.format_message().split())} (`{_help_for(error)}` shows how)") from error
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        raise Cancelled("interrupted")
    return code if isinstance(code, int) else OK


def _help_for(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'wan'} --help"


def _set_up_logging() -> None:
    """On stderr our warnings; when debugging, everything, Python's own warnings included."""
    logging.basicConfig(
        level=logging.DEBUG if debugging() else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s" if debugging() else "%(levelname)s: %(message)s",
    )
