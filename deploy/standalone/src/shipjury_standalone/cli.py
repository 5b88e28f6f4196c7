"""The ``shipjury`` command: starts and stops the standalone, and carries each service's operators' commands."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .children import ChildFailed
from .embedded.postgres import PostgresMissing
from .embedded.redis import RedisMissing
from .folder import AlreadyRunning, DataFolder, FolderUnusable, State
from .ports import PortTaken
from .services import COMMANDS

EXIT_MISSING, EXIT_FOLDER, EXIT_PORT, EXIT_RUNNING, EXIT_PART = 3, 4, 5, 6, 7


class NotRunning(Exception):
    """A command needs a running standalone, and there is none."""


class NoSuchLog(Exception):
    """There is no log of that name."""


EXIT_CODES: dict[type[Exception], int] = {
    PostgresMissing: EXIT_MISSING,
    RedisMissing: EXIT_MISSING,
    FolderUnusable: EXIT_FOLDER,
    PortTaken: EXIT_PORT,
    AlreadyRunning: EXIT_RUNNING,
    ChildFailed: EXIT_PART,
    NotRunning: 1,
    NoSuchLog: 1,
}


class Commands(TyperGroup):
    """Our own commands, and the services': those are imported when they are called, with the running one's settings."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Ours first."""
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name; a service's group is mounted only when it is the one that was called."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, help_text = COMMANDS[cmd_name]
        if ctx.resilient_parsing or not _is_called(cmd_name):
            return TyperGroup(name=cmd_name, help=help_text)
        return _mounted(cmd_name, module)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Shipjury on one machine: a jury for AI tools.",
)
_folder: dict[str, Path] = {}
_command = contextlib.ExitStack()
"""What ends with the command: its span."""


def default_data() -> Path:
    """The data folder where none is named: in the checkout, or in the user's own place where that is not writable."""
    root = Path(os.environ.get("SHIPJURY_ROOT", "."))
    if (root / ".shipjury").exists() or os.access(root, os.W_OK):
        return root / ".shipjury"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "shipjury"


DataDir = Annotated[
    Path | None, typer.Option("--data-dir", envvar="SHIPJURY_DATA_DIR", help="Folder that keeps everything.")
]


def data_folder(named: Path | None = None) -> DataFolder:
    """The data folder that this call is about."""
    return DataFolder(named or _folder.get("data") or default_data())


@app.callback()
def choose(data_dir: DataDir = None) -> None:
    """Shipjury on one machine: a jury for AI tools."""
    if data_dir:
        _folder["data"] = data_dir


@app.command()
def up(
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(help="Port of the site.", min=0, max=65535)] = 8000,
    operator_port: Annotated[int, typer.Option(help="Port for operators.", min=0, max=65535)] = 8001,
    kafka_port: Annotated[
        int | None, typer.Option(help="Port of the event broker; by default 9092 where it is free.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model that judges: one of the edge runner's, or model:provider.")
    ] = None,
    no_edge: Annotated[
        bool, typer.Option("--no-edge", help="Start no edge runner; models come from providers.")
    ] = False,
    no_starter: Annotated[
        bool, typer.Option("--no-starter", help="Bring in no starter catalog: begin with no tool.")
    ] = False,
) -> None:
    """Start everything and serve until Ctrl-C. The first start judges the starter catalog."""
    from .display import Display
    from .up import Options
    from .up import up as run

    folder = data_folder(data_dir).path
    run(Options(folder, port, operator_port, kafka_port, model, not no_edge, not no_starter), Display())


@app.command()
def status(
    data_dir: DataDir = None,
    key: Annotated[bool, typer.Option("--key", help="Print the operators' key, and nothing else.")] = False,
) -> None:
    """Say what runs, where it answers and how much memory it takes."""
    from .control import describe

    folder = data_folder(data_dir)
    if key:
        typer.echo(folder.secret("operators' key"))
        return
    typer.echo(describe(folder, running(folder)))


@app.command()
def logs(
    service: Annotated[
        str | None, typer.Argument(help="services, postgres, redis, broker or edge; all without it.")
    ] = None,
    data_dir: DataDir = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as new lines come.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many lines.", min=1)] = 40,
) -> None:
    """Show the logs, as lines for people; the files are JSON lines."""
    from . import log_files

    folder = data_folder(data_dir)
    known = sorted(path.stem for path in folder.logs.glob("*.jsonl") if path.stem != "traces")
    if service and service not in known:
        raise NoSuchLog(f"There is no log of {service}; there is one of: {', '.join(known) or 'nothing yet'}.")
    for line in log_files.read(folder.logs, service, lines):
        typer.echo(line)
    if follow:
        for line in log_files.follow(folder.logs, service, lambda: folder.state() is not None):
            typer.echo(line)


@app.command()
def down(data_dir: DataDir = None) -> None:
    """Stop what runs; nothing is lost."""
    from .folder import stop

    typer.echo("Stopped." if stop(data_folder(data_dir)) else "Nothing is running.")


@app.command()
def reset(
    data_dir: DataDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove all data: tools, verdicts, votes, subscribers, ledger, mails. Asks first."""
    folder = data_folder(data_dir)
    if not folder.ours:
        typer.echo(f"There is no data in {folder.path}.")
        return
    if folder.state() is not None:
        raise AlreadyRunning("Shipjury is running; stop it first: ./shipjury down")
    if not yes:
        typer.confirm(f"Remove all data in {folder.path}? This can't be undone.", abort=True)
    folder.remove()
    typer.echo(f"Removed {folder.path}.")


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Say what this machine has and lacks, and how to get what is missing."""
    from .doctor import examine

    findings = examine(data_folder(data_dir).path)
    for finding in findings:
        typer.echo(str(finding))
    if any(not finding.fine and finding.needed for finding in findings):
        raise typer.Exit(EXIT_MISSING)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(ctx: typer.Context) -> None:
    """Run every test that needs no container engine; what follows goes to pytest."""
    from .test_run import run_tests

    raise typer.Exit(run_tests(Path(os.environ.get("SHIPJURY_ROOT", ".")), ctx.args))


def running(folder: DataFolder) -> State:
    """The running standalone. Raises an error that says how to start one."""
    state = folder.state()
    if state is None:
        raise NotRunning("Nothing is running here; start it with ./shipjury up")
    return state


def _is_called(name: str) -> bool:
    return name in sys.argv[1:]


def _mounted(name: str, module: str) -> Any:
    """A service's operators' commands, with the running standalone's settings unless the environment has its own."""
    import importlib

    asks_for_help = "--help" in sys.argv
    state = data_folder(_named_in_arguments()).state()
    if state is not None:
        os.environ.update({key: value for key, value in state.environment.items() if key not in os.environ})
    elif not asks_for_help and not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        running(data_folder(_named_in_arguments()))
    _trace_this_command()
    commands: Any = importlib.import_module(module).commands
    group = typer.main.get_command(commands)
    group.name = name
    return group


def _trace_this_command() -> None:
    """What an operator's command causes can be traced back to it, months later, through events and mails."""
    os.environ.setdefault("SHIPJURY_LOG_LEVEL", "WARNING")
    from shipjury_delivery import telemetry

    telemetry.set_up("shipjury")
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    named = next((at for at, word in enumerate(words) if word in COMMANDS), 0)
    _command.enter_context(telemetry.tracer("command").start_as_current_span(" ".join(words[named : named + 2])))
    _command.callback(telemetry.tear_down)


def _named_in_arguments() -> Path | None:
    named = os.environ.get("SHIPJURY_DATA_DIR")
    for index, word in enumerate(sys.argv):
        if word == "--data-dir" and index + 1 < len(sys.argv):
            return Path(sys.argv[index + 1])
        if word.startswith("--data-dir="):
            return Path(word.partition("=")[2])
    return Path(named) if named else None


def main() -> None:
    """The command. Each failure that people meet is one sentence and an exit status of its own."""
    try:
        with _command:
            app()
    except tuple(EXIT_CODES) as problem:
        sys.stderr.write(f"shipjury: {problem}\n")
        sys.exit(EXIT_CODES[type(problem)])
    except OSError as problem:
        import errno

        if problem.errno != errno.ENOSPC:
            raise
        sys.stderr.write("shipjury: The disk is full: make room and start again; nothing is lost.\n")
        sys.exit(EXIT_FOLDER)
