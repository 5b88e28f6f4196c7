"""The command line: ``edge-runner`` for a node, ``shipjury edge`` for its operators."""

import asyncio
import http.client
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from shipjury_delivery import telemetry
from shipjury_delivery.serving import PortInUse
from shipjury_schemas import EdgeBenchmarked

from . import app as node_app
from .announce import publish as tell_fleet
from .bench import BenchFailed
from .bench import bench as measure
from .bundle import BundleFailed
from .bundle import make as make_bundle
from .domain.fit import KV_BYTES, MIB
from .domain.models import UnknownModel
from .fitting import rows, table
from .fleet_cli import fleet_commands
from .holding import plan
from .memory import memory_of
from .model_list import load_models
from .node import Holding, Node
from .pull import PullFailed
from .pull import pull as get_weights
from .settings import EdgeSettings
from .weights import WeightsMissing, WrongHash, find_weights

cli = typer.Typer(
    no_args_is_help=True, help="Serve quantized open weights on one node.", pretty_exceptions_enable=False
)
commands = typer.Typer(no_args_is_help=True, help="Edge nodes: models, what fits, what they measure.")
commands.add_typer(fleet_commands)
cli.add_typer(fleet_commands, name="fleet", help="The whole fleet, as the gateway knows it.")


@cli.command()
def serve(
    model: Annotated[str | None, typer.Argument(help="Id in the model list; by default EDGE_MODEL.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="llama.cpp, vllm, or auto (by what the host has); by default EDGE_ENGINE.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API; by default EDGE_PUBLIC_PORT.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the engine's exact command and leave.")] = False,
) -> None:
    """Serve a model behind an OpenAI-compatible API; announce the node where a broker is configured."""
    settings = _settings(public_port=port)
    wanted, engine_name = model or settings.model, engine or settings.engine
    try:
        if dry_run:
            _show(settings, wanted, engine_name)
        else:
            telemetry.set_up("edge-runner")
            uvloop.run(node_app.serve(settings, wanted, engine_name))
    except (UnknownModel, WeightsMissing, WrongHash, PortInUse, ValueError) as error:
        raise SystemExit(f"edge-runner: {error}") from error


@cli.command()
@commands.command()
def fit(
    memory: Annotated[str | None, typer.Option(help="Such as 4GiB; by default this host's.")] = None,
    context: Annotated[int, typer.Option(min=256, help="Tokens of one request.")] = 4096,
    slots: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 1,
    kv_type: Annotated[str, typer.Option(help="f16, or q8_0 for about half of the KV cache.")] = "f16",
) -> None:
    """Say which models fit into a device's memory, with which context, before anything is downloaded."""
    settings = _settings()
    if kv_type not in KV_BYTES:
        raise SystemExit(f"edge-runner: no KV type {kv_type!r}; there are: {', '.join(KV_BYTES)}")
    try:
        given = memory_of(memory or settings.memory)
        found = rows(load_models(settings.model_list), given, context, slots, kv_type, settings.cache_ram_mib * MIB)
    except (ValueError, OSError) as error:
        raise SystemExit(f"edge-runner: {error}") from error
    for line in table(found, given, context, slots, kv_type):
        typer.echo(line)


@cli.command()
def bench(
    model: Annotated[str | None, typer.Argument(help="Id in the model list; by default EDGE_MODEL.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    publish: Annotated[bool, typer.Option(help="Tell the fleet, where a broker is configured.")] = True,
) -> None:
    """Measure a model on this node: time to first token, prefill, decode, memory, energy where the host tells."""
    settings = _settings()
    try:
        holding = plan(settings, model or settings.model, settings.engine, Node(settings.node_id, 0))
        measured = asyncio.run(_measure(settings, holding, rounds, publish=publish))
    except (UnknownModel, WeightsMissing, WrongHash, BenchFailed, ValueError) as error:
        raise SystemExit(f"edge-runner: {error}") from error
    typer.echo(measured.model_dump_json(indent=2, exclude={"aggregate_version"}))


async def _measure(settings: EdgeSettings, holding: Holding, rounds: int, *, publish: bool) -> EdgeBenchmarked:
    measured = await measure(holding, settings.node_id, rounds)
    if publish and settings.kafka_bootstrap_servers:
        try:
            await tell_fleet(settings.kafka_bootstrap_servers, settings.node_id, measured)
        except (KafkaError, OSError, TimeoutError) as error:
            typer.echo(f"edge-runner: not published: {error or repr(error)}", err=True)
    return measured


@cli.command()
@commands.command()
def status() -> None:
    """Show what the node on this machine holds: state, speed, memory, restarts, why an engine is not ready."""
    settings = _settings()
    node = http.client.HTTPConnection(settings.operator_host, settings.operator_port, timeout=5)
    try:
        node.request("GET", "/edge/readyz")
        found = json.loads(node.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        where = f"http://{settings.operator_host}:{settings.operator_port}/edge/readyz"
        raise SystemExit(f"edge-runner: no node answers at {where}: {error}") from error
    typer.echo(f"{settings.node_id}: {found['state']}{', cordoned' if found['cordoned'] else ''}")
    for model, held in found["models"].items():
        speed = f"{held['tokens_per_second']:.1f} tokens/s" if held["tokens_per_second"] else "speed unknown"
        memory = f"{held['resident_bytes'] / MIB:.0f} MiB"
        reason = f"  {held['reason']}" if held["reason"] else ""
        typer.echo(f"  {model}: {held['state']}, {speed}, {memory}, {held['restarts']} restarts{reason}")
    for model, why in found["not_held"].items():
        typer.echo(f"  {model}: not held: {why['reason'] or why['progress']}")


@cli.command()
def pull(
    model: Annotated[str, typer.Argument(help="Id in the model list.")],
    quantization: Annotated[str | None, typer.Option(help="Which file; by default the list's first.")] = None,
    from_file: Annotated[Path | None, typer.Option("--from", help="A GGUF file that is already here.")] = None,
    accept_licence: Annotated[str | None, typer.Option(help="Name of a licence that restricts the use.")] = None,
) -> None:
    """Fetch, verify and store a model's weights; a pull that was cut off is resumed."""
    settings = _settings()
    try:
        got = get_weights(
            load_models(settings.model_list).find(model),
            settings.models_dir,
            quantization=quantization,
            from_file=from_file,
            accepted=accept_licence,
            tell=typer.echo,
        )
    except (UnknownModel, PullFailed, ValueError, OSError) as error:
        raise SystemExit(f"edge-runner: {error}") from error
    typer.echo(f"{got.path}\nsha256 {got.sha256}")


@cli.command()
def bundle(
    model: Annotated[str, typer.Argument(help="Id in the model list; its weights must be here.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, a tar.")],
    quantization: Annotated[str | None, typer.Option(help="Which file; by default the first that is here.")] = None,
    wheels: Annotated[Path | None, typer.Option(help="A folder of wheels; by default those of the lock.")] = None,
) -> None:
    """Pack weights, runner and all that it needs into one file, which installs and serves without a network."""
    settings = _settings()
    try:
        found = load_models(settings.model_list).find(model)
        chosen = tuple(one for one in found.weights if quantization in (None, one.quantization))
        weights = find_weights(replace(found, weights=chosen), settings.models_dir)
        made = make_bundle(found, weights, output, wheels=wheels, tell=typer.echo)
    except (UnknownModel, WeightsMissing, WrongHash, BundleFailed, ValueError, OSError) as error:
        raise SystemExit(f"edge-runner: {error}") from error
    if found.licence.restricts:
        typer.echo(
            f"{model} is under {found.licence.name}: {found.licence.restricts}. Its installer asks for it by name."
        )
    typer.echo(f"{made.path}: {made.files} files, {made.size / MIB:.0f} MiB\nsha256 {made.sha256}")


@cli.command()
@commands.command()
def models() -> None:
    """List the models that a node knows."""
    for model in load_models(_settings().model_list).models.values():
        quantizations = ", ".join(weights.quantization for weights in model.weights) or "-"
        typer.echo(f"{model.id:34} {model.parameters:>8}  {quantizations:10} {model.licence.name}")


def _show(settings: EdgeSettings, model: str, engine: str) -> None:
    holding = plan(settings, model, engine, Node(settings.node_id, 0))
    command = holding.engine.command(holding.spec, 0, "secret")
    typer.echo(shlex.join(command.argv))


def _settings(**given: object) -> EdgeSettings:
    try:
        return EdgeSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = "EDGE_" + str(first["loc"][0]).upper() if first["loc"] else "settings"
        sys.exit(f"edge-runner: {where}: {first['msg']}")
