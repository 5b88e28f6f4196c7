"""The panel's command line: the service itself, and what operators do: status, exam, replay, rejudge."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from shipjury_delivery import service_cli
from shipjury_delivery.database import create_engine

from .app import api, bench, now, worker
from .contracts import store_exam
from .domain.exam import ExamRecord
from .replay import Replayed, replay
from .settings import Settings
from .status import judge_again, status_of

cli = service_cli("panel", Settings, api, worker)
commands = typer.Typer(no_args_is_help=True, help="The panel: what waits, exams, judging again.")


def _run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


@commands.command("status")
def show_status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What waits, what is judged, what failed and why."""

    async def main() -> None:
        engine = create_engine(Settings())
        try:
            found: dict[str, Any] = await status_of(engine)
        finally:
            await engine.dispose()
        if as_json:
            typer.echo(json.dumps(found, indent=2))
            return
        waiting = found["judging"]
        typer.echo(f"{found['judged']} of {found['tools']} tools judged, {found['verdicts']} verdicts in all")
        typer.echo(
            f"waiting {waiting.get('ready', 0)}, running {waiting.get('running', 0)}, dead {waiting.get('dead', 0)}"
        )
        for record in found["records"]:
            origin = "shipped" if record["shipped"] else "sat here"
            typer.echo(
                f"exam {record['exam_id'][:12]} {record['model']}: {record['level']} ({origin}, {record['taken_at']})"
            )
        for one in found["failed"]:
            typer.echo(f"{one['slug'] or one['key']}: {one['state']} after {one['attempt']} attempts: {one['error']}")

    _run(main)


@commands.command("exam")
def sit_exam(
    write: Annotated[Path | None, typer.Option(help="Write the record to this file too.")] = None,
    enqueue: Annotated[bool, typer.Option("--background", help="Let a worker sit it.")] = False,
    sitting: Annotated[str, typer.Option(help="Name of the sitting; one that was cut short goes on under it.")] = "",
) -> None:
    """Have the judge sit its exam now and print the figures. Nothing is published but by `--background`."""

    async def main() -> None:
        async with bench(Settings()) as parts:
            judge = await parts.judges.identity()
            moment = now()
            if enqueue:
                await parts.judges.ask_for_exam(judge, f"asked:{moment.isoformat()}")
                typer.echo(f"{judge.described} sits its exam in the background")
                return
            record = await parts.sit_exam.sit(judge, f"exam:asked:{sitting or moment.isoformat()}")
            print_exam(record)
            if write:
                text = json.dumps(store_exam(record).model_dump(mode="json"), indent=2, ensure_ascii=False)
                await asyncio.to_thread(write.write_text, text + "\n", encoding="utf-8")

    _run(main)


def print_exam(record: ExamRecord) -> None:
    """The figures, a line a probe."""
    typer.echo(f"{record.judge.described}: {record.level}")
    for probe in record.probes:
        mark = {True: "pass", False: "fail", None: "    "}[probe.passed]
        value = "not sat" if probe.value is None else f"{probe.value:.3f}"
        spread = f" ({probe.interval.low:.3f} to {probe.interval.high:.3f})" if probe.interval else ""
        wanted = f", wanted {probe.threshold:g}" if probe.threshold is not None else ""
        typer.echo(f"  {mark}  {probe.label}: {value}{spread}{wanted}")
    typer.echo(f"  edges: skip below {record.edges.skip_below:g}, ship from {record.edges.ship_at:g}")


@commands.command("replay")
def replay_run(run: Annotated[str, typer.Argument(help="Id of the run, from a verdict's manifest.")]) -> None:
    """Redo a run from its manifest, on the judge of now, and compare. Nothing is stored or published."""

    async def main() -> None:
        async with bench(Settings()) as parts:
            found: Replayed | None = await replay(parts.engine, parts.gateway, parts.judges, run)
        if found is None:
            typer.echo(f"No run {run} issued a verdict.", err=True)
            raise typer.Exit(1)
        for line in found.lines:
            typer.echo(line)
        if not found.same:
            raise typer.Exit(1)

    _run(main)


@commands.command("rejudge")
def rejudge(slug: Annotated[str, typer.Argument(help="Name of the tool in addresses.")]) -> None:
    """Judge the newest version of a tool again."""

    async def main() -> None:
        engine = create_engine(Settings())
        try:
            version = await judge_again(engine, slug, now())
        finally:
            await engine.dispose()
        if version is None:
            typer.echo(f"No tool {slug} is published.", err=True)
            raise typer.Exit(1)
        typer.echo(f"{slug}, version {version}, waits to be judged again")

    _run(main)


for command in commands.registered_commands:
    cli.registered_commands.append(command)

__all__ = ["cli", "commands"]
