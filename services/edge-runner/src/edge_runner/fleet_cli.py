"""Operators' commands for the whole fleet (``shipjury edge deploy``, ``nodes``, ``cordon``): they ask the gateway.

A command changes what a node should hold; the node hears of it by event and says by event how it fares.
"""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from .domain.fit import MIB
from .settings import EdgeSettings

_ASK_SECONDS = 10.0
_LOOK_SECONDS = 0.25

fleet_commands = typer.Typer(no_args_is_help=True)
Node = Annotated[str, typer.Argument(help="Id of the node, as `shipjury edge nodes` shows it.")]


@fleet_commands.command()
def nodes(as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False) -> None:
    """Show the fleet: its nodes, what each holds, how fast it is and what memory it takes."""
    found = _asked("GET", "/gateway/admin/nodes")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for node in found:
        typer.echo(_line(node))
        for model in node.get("models", ()):
            typer.echo("    " + _model_line(model, node["benchmarks"].get(model["model"])))
    if not found:
        typer.echo("no node has told of itself yet")


@fleet_commands.command()
def deploy(
    model: Annotated[str, typer.Argument(help="Id in the nodes' model list.")],
    node: Annotated[str | None, typer.Option(help="The node that should hold it.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="name=value: all nodes with these labels; repeat for more.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of one request; by default the node's own.")] = None,
    slots: Annotated[int | None, typer.Option(help="Requests at once; by default the node's own.")] = None,
    accept_licence: Annotated[str | None, typer.Option(help="Name of a licence that restricts the use.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for its first answer; 0 to return at once.")] = 0.0,
) -> None:
    """Let a node (or all with a label) hold a model too: pulled, checked, loaded, proven, routed to."""
    if (node is None) == (not label):
        raise typer.BadParameter("say where: --node N, or --label name=value")
    body = {
        "model": model,
        "node": node,
        "labels": dict(_pair(one) for one in label or ()),
        "context_tokens": context,
        "slots": slots,
        "accept_licence": accept_licence,
    }
    told = _asked("POST", "/gateway/admin/deployments", body)
    for one in told:
        typer.echo(f"{one['node']}: generation {one['generation']}{'' if one['new'] else ' (nothing new)'}")
    fared = [_fared(one["node"], one["generation"], model, wait) for one in told if wait]
    if not all(fared):
        raise SystemExit(1)


@fleet_commands.command()
def withdraw(
    model: Annotated[str, typer.Argument(help="Model to let go.")],
    node: Annotated[str, typer.Option(help="The node that holds it.")],
) -> None:
    """Let a node hold a model no longer; its running requests are finished first."""
    path = f"/gateway/admin/deployments/{quote(node, safe='')}/{quote(model, safe='')}"
    typer.echo(f"{node}: generation {_asked('DELETE', path)['generation']}")


@fleet_commands.command()
def cordon(node: Node) -> None:
    """Keep new requests away from a node; what runs there is finished, what it holds stays loaded."""
    _steered(node, "cordon")


@fleet_commands.command()
def drain(node: Node) -> None:
    """Cordon a node and unload its models when their requests are through: for maintenance."""
    _steered(node, "drain")


@fleet_commands.command()
def uncordon(node: Node) -> None:
    """Open a node that was cordoned or drained."""
    _steered(node, "uncordon")


def _steered(node: str, what: str) -> None:
    told = _asked("POST", f"/gateway/admin/nodes/{quote(node, safe='')}/{what}")
    state = "drained" if told["drained"] else "cordoned" if told["cordoned"] else "open"
    typer.echo(f"{node}: {state}, generation {told['generation']}{'' if told['new'] else ' (nothing new)'}")


def _fared(node: str, generation: int, model: str, seconds: float) -> bool:
    """Show how a deployment fares until the model answers, fails, or the time is up. Returns whether it answers."""
    until, shown = time.monotonic() + seconds, ""
    while time.monotonic() < until:
        found: list[dict[str, Any]] = _asked("GET", "/gateway/admin/nodes")
        told = next((one for one in found if one["node_id"] == node), {})
        held = next((one for one in told.get("models", ()) if one["model"] == model), None)
        line = _model_line(held, None) if held else f"{model}: {node} has not answered yet"
        if line != shown:
            typer.echo(f"  {line}")
            shown = line
        if held and told.get("generation", 0) >= generation:
            return held["state"] in ("ready", "unloaded")
        time.sleep(_LOOK_SECONDS)
    typer.echo(f"  {model} does not answer on {node} yet; it goes on", err=True)
    return False


def _line(node: Mapping[str, Any]) -> str:
    deployment = node["deployment"] or {}
    kept = ", drained" if deployment.get("drained") else ", cordoned" if deployment.get("cordoned") else ""
    labels = " ".join(f"{name}={value}" for name, value in sorted(node.get("labels", {}).items()))
    memory = f"{node.get('memory_used_bytes', 0) // MIB:,} of {node.get('memory_bytes', 0) // MIB:,} MiB"
    carried = f"deployment {node.get('generation', 0)} of {deployment.get('generation', 0)}"
    told = (f"{node['node_id']}: {node['state']}{kept}", memory, carried, labels, node["base_url"])
    return "  ".join(part for part in told if part)


def _model_line(model: Mapping[str, Any], measured: Mapping[str, Any] | None) -> str:
    parts = [f"{model['model']}: {model['state']}"]
    if model.get("context_tokens"):
        parts.append(f"{model['context_tokens']:,} tokens x {model['slots']}")
        parts.append(
            f"{model.get('resident_bytes', 0) // MIB:,} MiB (estimate {model.get('estimated_bytes', 0) // MIB:,})"
        )
    if model.get("tokens_per_second"):
        parts.append(f"{model['tokens_per_second']:.1f} tokens/s")
    if measured:
        parts.append(
            f"measured: {measured['decode_tokens_per_second']:.1f} tokens/s, "
            f"first token {measured['time_to_first_token_ms']:.0f} ms"
        )
    parts += [str(model[name]) for name in ("progress", "reason") if model.get(name)]
    return ", ".join(parts)


def _pair(label: str) -> tuple[str, str]:
    name, equals, value = label.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{label!r}: a label is name=value")
    return name, value


def _asked(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The gateway's answer. Ends with one sentence where it refuses or does not answer."""
    settings = EdgeSettings()
    if settings.gateway_operator_url is None or settings.gateway_operator_key is None:
        raise SystemExit(
            "edge-runner: the gateway knows the fleet: set EDGE_GATEWAY_OPERATOR_URL and EDGE_GATEWAY_OPERATOR_KEY"
        )
    where = urlsplit(settings.gateway_operator_url)
    connect = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    gateway = connect(where.hostname or "", where.port, timeout=_ASK_SECONDS)
    headers = {"Authorization": f"Bearer {settings.gateway_operator_key.get_secret_value()}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        gateway.request(method, where.path.rstrip("/") + path, None if body is None else json.dumps(body), headers)
        answer = gateway.getresponse()
        said = json.loads(answer.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SystemExit(f"edge-runner: the gateway does not answer at {where.geturl()}: {error}") from error
    finally:
        gateway.close()
    if answer.status >= 400:
        raise SystemExit(f"edge-runner: {_why(said)}")
    return said


def _why(said: Any) -> str:
    detail = said.get("detail", said) if isinstance(said, dict) else said
    if isinstance(detail, list) and detail:  # what FastAPI says of a body that it cannot read
        return f"{'.'.join(map(str, detail[0].get('loc', ())))}: {detail[0].get('msg', detail[0])}"
    return str(detail)
