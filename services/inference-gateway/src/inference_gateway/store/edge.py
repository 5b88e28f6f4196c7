"""Edge nodes: the newest state of each, folded from `edge.nodes.v1`, and nodes as deployments."""

from fractions import Fraction

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_schemas import EdgeNode

from ..domain.catalogue import COMMON_PARAMETERS, Deployment
from ..domain.money import Price
from .tables import edge_deployments, edge_nodes

MISSED_BEATS = 3
_TAKES = COMMON_PARAMETERS - {"n", "best_of", "echo", "suffix", "dimensions"} | {"top_k", "min_p"}
"""What a node serves; the runner's own contract (`POST /v1/chat/completions` of an edge runner) says the same."""


async def fold(connection: AsyncConnection, node: EdgeNode) -> bool:
    """Take in a node's state. One that is not newer changes nothing. Returns whether it was."""
    values = {
        "node_id": node.node_id,
        "version": node.aggregate_version,
        "state": node.state,
        "base_url": node.base_url,
        "beat_at": node.beat_at,
        "heartbeat_seconds": node.heartbeat_seconds,
        "models": [model.model_dump(mode="json") for model in node.models],
        "labels": dict(node.labels),
        "engine": node.engine,
        "cordoned": node.cordoned,
        "beat": node.model_dump(mode="json"),
    }
    statement = insert(edge_nodes).values(values)
    result = await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["node_id"],
            set_={name: statement.excluded[name] for name in values if name != "node_id"},
            where=edge_nodes.c.version < statement.excluded.version,
        )
    )
    return bool(result.rowcount)


async def deployments(connection: AsyncConnection, price: Price) -> list[Deployment]:
    """Every model that a node holds, callable or not; `refuse` says why not.

    A model that was unloaded has answered there before and is loaded when it is asked for: it is callable, but cold.
    A cordon counts from when it is decided, not from when the node has heard of it.
    """
    found: list[Deployment] = []
    wanted = edge_deployments.c
    kept_away = sa.func.coalesce(wanted.cordoned, sa.false()) | sa.func.coalesce(wanted.drained, sa.false())
    query = (
        sa.select(edge_nodes, kept_away.label("kept_away"))
        .outerjoin(edge_deployments, wanted.node_id == edge_nodes.c.node_id)
        .order_by(edge_nodes.c.node_id)
    )
    for node in await connection.execute(query):
        for model in node.models:
            refuse = None
            if node.cordoned or node.kept_away:
                refuse = "node_cordoned"
            elif node.state != "ready":
                refuse = f"node_{node.state}"
            elif model["state"] not in ("ready", "unloaded"):
                refuse = f"model_{model['state']}"
            features = frozenset(model.get("capabilities") or ("chat", "completions"))
            if model.get("max_logprobs"):
                features |= {"logprobs"}
            found.append(
                Deployment(
                    provider=node.node_id,
                    model=model["model"],
                    name=model["model"],
                    kind="edge",
                    base_url=_api(node.base_url),
                    features=features,
                    takes=_TAKES,
                    max_logprobs=model.get("max_logprobs", 0),
                    context_tokens=model["context_tokens"],
                    max_output_tokens=model["context_tokens"],
                    quantization=model.get("quantization"),
                    prices=(price,),
                    zdr=True,
                    trains_on_data=False,
                    max_concurrency=max(1, 4 * model["slots"]),
                    drain_when_gone=False,
                    refuse=refuse,
                    labels=frozenset(node.labels.items()),
                    region=node.labels.get("region"),
                    cold=model["state"] == "unloaded",
                    beat_deadline=node.beat_at.timestamp() + MISSED_BEATS * node.heartbeat_seconds,
                )
            )
    return found


def edge_price(input_usd: str, output_usd: str) -> Price:
    """The price of edge nodes. Free is a price that somebody set: the ledger names it `edge/free`."""
    price_in, price_out = Fraction(input_usd), Fraction(output_usd)
    free = price_in == price_out == 0
    return Price(price_in, price_out, version="edge/free" if free else f"edge/configured:{input_usd}:{output_usd}")


def _api(base_url: str) -> str:
    """The node's API root, ending in /v1 whether or not it was announced so."""
    root = base_url.rstrip("/")
    return root if root.endswith("/v1") else f"{root}/v1"
