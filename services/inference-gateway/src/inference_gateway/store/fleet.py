"""What each edge node should hold, what it told last, what it measured. A change and its event are one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shipjury_delivery import publish
from shipjury_schemas import EdgeBenchmarked, EdgeDeployment, Event
from shipjury_schemas.edge_deployment.v1 import WantedModel

from ..domain.fleet import Desired, Wanted, came_with, matches
from .edge import MISSED_BEATS
from .tables import edge_benchmarks, edge_deployments, edge_nodes

SOURCE = "/shipjury/inference-gateway"


class NoSuchNode(LookupError):
    """No node of that id has ever told of itself."""

    def __init__(self, node: str, known: list[str]) -> None:
        super().__init__(f"no node {node!r}; known are: {', '.join(known) or 'none'}")


async def change(
    connection: AsyncConnection, node_id: str, to: Callable[[Desired], Desired], at: datetime
) -> tuple[Desired, bool]:
    """Change what a node should hold and tell it. What changes nothing gets no new generation and no event.

    Returns what is wanted now, and whether that is new. Raises :class:`NoSuchNode`, and what ``to`` raises.
    """
    beat = await connection.scalar(sa.select(edge_nodes.c.beat).where(edge_nodes.c.node_id == node_id))
    if beat is None:
        raise NoSuchNode(node_id, list(await connection.scalars(sa.select(edge_nodes.c.node_id).order_by("node_id"))))
    before = await _locked(connection, node_id, beat, at)
    wanted = to(before)
    if replace(wanted, generation=before.generation) == before:
        return before, False
    # A node that kept more than this database did (it was restored, say) would ignore a lower generation.
    wanted = replace(wanted, generation=max(before.generation, int(beat.get("generation") or 0)) + 1)
    await connection.execute(
        sa.update(edge_deployments).where(edge_deployments.c.node_id == node_id).values(**_row(wanted, at))
    )
    await publish(connection, Event(data=_told(node_id, wanted, at), source=SOURCE))
    return wanted, True


async def nodes_labelled(connection: AsyncConnection, labels: Mapping[str, str]) -> list[str]:
    """Nodes that have all of these labels, and have not said that they stopped."""
    rows = await connection.execute(
        sa.select(edge_nodes.c.node_id, edge_nodes.c.labels).where(edge_nodes.c.state != "stopped")
    )
    return sorted(row.node_id for row in rows if matches(row.labels, labels))


async def fold_benchmark(connection: AsyncConnection, told: EdgeBenchmarked) -> None:
    """Keep a measurement; one that is not newer changes nothing."""
    values = {
        "benchmark_id": told.benchmark_id,
        "version": told.aggregate_version,
        "node_id": told.node_id,
        "model": told.model,
        "told": told.model_dump(mode="json"),
    }
    statement = insert(edge_benchmarks).values(values)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["benchmark_id"],
            set_={"version": statement.excluded.version, "told": statement.excluded.told},
            where=edge_benchmarks.c.version < statement.excluded.version,
        )
    )


async def fleet(connection: AsyncConnection, now: datetime) -> list[dict[str, Any]]:
    """Every node: what it told last, what it should hold, what it measured; ``gone`` when its heart has stopped."""
    wanted = {row.node_id: row for row in await connection.execute(sa.select(edge_deployments))}
    measured: dict[str, dict[str, Any]] = {}
    for row in await connection.execute(sa.select(edge_benchmarks)):
        measured.setdefault(row.node_id, {})[row.model] = row.told
    found = []
    for node in await connection.execute(sa.select(edge_nodes).order_by(edge_nodes.c.node_id)):
        silent = (now - node.beat_at).total_seconds()
        desired = wanted.get(node.node_id)
        found.append(
            (node.beat or {})
            | {
                "node_id": node.node_id,
                "state": "gone"
                if node.state != "stopped" and silent > MISSED_BEATS * node.heartbeat_seconds
                else node.state,
                "silent_seconds": round(max(0.0, silent), 1),
                "deployment": None if desired is None else _desired_json(desired),
                "benchmarks": measured.get(node.node_id, {}),
            }
        )
    return found


async def _locked(connection: AsyncConnection, node_id: str, beat: Mapping[str, Any], at: datetime) -> Desired:
    """The node's desired set, its row locked; at the first change it is what the node came with."""
    await connection.execute(
        insert(edge_deployments).values(node_id=node_id, **_row(came_with(beat), at)).on_conflict_do_nothing()
    )
    query = sa.select(edge_deployments).where(edge_deployments.c.node_id == node_id).with_for_update()
    row = (await connection.execute(query)).one()
    return Desired(row.generation, tuple(Wanted(**one) for one in row.models), row.cordoned, row.drained)


def _row(desired: Desired, at: datetime) -> dict[str, Any]:
    return {
        "generation": desired.generation,
        "models": [asdict(one) for one in desired.models],
        "cordoned": desired.cordoned,
        "drained": desired.drained,
        "deployed_at": at,
    }


def _told(node_id: str, desired: Desired, at: datetime) -> EdgeDeployment:
    return EdgeDeployment(
        aggregate_version=desired.generation,
        node_id=node_id,
        models=tuple(WantedModel(**asdict(one)) for one in desired.models),
        cordoned=desired.cordoned,
        drained=desired.drained,
        deployed_at=at,
    )


def _desired_json(row: Any) -> dict[str, Any]:
    return {
        "generation": row.generation,
        "models": row.models,
        "cordoned": row.cordoned,
        "drained": row.drained,
        "deployed_at": row.deployed_at.isoformat(),
    }
