"""``shipjury events``: watch topics, read dead letters, send them back; it needs the brokers' address, nothing else."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from shipjury_schemas import CONTRACTS, Event, MalformedEvent, contract_for, decode

from .kafka import connection, consuming
from .redrive import Found, find, redrive
from .settings import KafkaSettings

commands = typer.Typer(no_args_is_help=True, help="Events in Kafka: watch them, read dead letters, send them back.")

Bootstrap = Annotated[
    str | None,
    typer.Option("--bootstrap", help="Kafka brokers, host:port; else SHIPJURY_KAFKA_BOOTSTRAP_SERVERS."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


class EventsSettings(KafkaSettings):
    """Settings of the ``events`` command."""

    model_config = SettingsConfigDict(env_prefix="SHIPJURY_")


@commands.command("tail")
def tail(
    topic: Annotated[str | None, typer.Argument(help="A topic, such as verdicts.issued.v1; else all.")] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start at the oldest event.")] = False,
    number: Annotated[int, typer.Option("-n", min=0, help="End after so many events; 0 goes on.")] = 0,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Print events as they come, one a line."""
    topics = [topic] if topic else [contract.topic.name for contract in CONTRACTS]
    _run(_tail(_settings(bootstrap), topics, from_beginning, number, as_json))


@commands.command("dead")
def dead(
    group: Annotated[str | None, typer.Argument(help="A group, such as votes.on_vote_cast; else all.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were sent back.")] = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """List dead letters: where they lie, why they died, how often they were tried."""
    found = [one for one in _run(find(_settings(bootstrap), group)) if everything or not one.redriven]
    for one in found:
        typer.echo(json.dumps(_letter(one)) if as_json else _letter_line(one))
    if not found and not as_json:
        typer.echo("no dead letters")


@commands.command("redrive")
def redrive_command(
    group: Annotated[str, typer.Argument(help="The group whose dead letters go back to it, and to no other.")],
    places: Annotated[list[str] | None, typer.Argument(help="Which, as `dead` prints them, 0@12; else all.")] = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Send dead letters of a group back through that group's handler, once what was wrong is mended."""
    sent = _run(redrive(_settings(bootstrap), group, places or ()))
    for one in sent:
        typer.echo(f"sent back {_letter_line(one)}")
    typer.echo(f"{len(sent)} sent back")


def _settings(bootstrap: str | None) -> EventsSettings:
    try:
        given: dict[str, Any] = {"kafka_bootstrap_servers": bootstrap} if bootstrap else {}
        return EventsSettings(**given)
    except ValidationError as error:
        typer.echo("say where Kafka is: --bootstrap host:port, or SHIPJURY_KAFKA_BOOTSTRAP_SERVERS", err=True)
        raise typer.Exit(2) from error


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    except (KafkaError, OSError) as error:
        typer.echo(f"Kafka does not answer: {error}", err=True)
        raise typer.Exit(1) from error


async def _tail(
    settings: EventsSettings, topics: Sequence[str], from_beginning: bool, number: int, as_json: bool
) -> None:
    start = "earliest" if from_beginning else "latest"
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, auto_offset_reset=start)
    async with consuming(consumer):
        missing = sorted(set(topics) - set(await consumer.topics()))
        if missing:
            typer.echo(f"no such topic yet: {', '.join(missing)}", err=True)
        consumer.subscribe([topic for topic in topics if topic not in missing] or list(topics))
        printed = 0
        while not number or printed < number:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records[: number - printed if number else None]:
                    typer.echo(_record_json(record) if as_json else _record_line(record))
                    printed += 1


def _decoded(record: "ConsumerRecord[Any, Any]") -> Event[Any] | str:
    """The event in a record, or what is wrong with it."""
    try:
        return decode(contract_for(record.topic), record.value, record.headers)
    except KeyError:
        return f"{len(record.value or b'')} bytes (not a topic of ours)"
    except MalformedEvent as error:
        return f"malformed: {error}"


def _record_line(record: "ConsumerRecord[Any, Any]") -> str:
    event = _decoded(record)
    when = datetime.fromtimestamp(record.timestamp / 1000, UTC).strftime("%H:%M:%S")
    key = (record.key or b"").decode(errors="replace")
    told = event if isinstance(event, str) else event.data.model_dump_json(exclude={"aggregate_version"})
    version = "" if isinstance(event, str) else f" v{event.data.aggregate_version}"
    return _fit(f"{when} {record.topic} {key}{version} {told}")


def _record_json(record: "ConsumerRecord[Any, Any]") -> str:
    event = _decoded(record)
    about = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": {name: raw.decode(errors="replace") for name, raw in record.headers},
    }
    told = {"error": event} if isinstance(event, str) else {"data": event.data.model_dump(mode="json")}
    return json.dumps(about | told)


def _letter(one: Found) -> dict[str, Any]:
    letter = one.letter
    return {
        "topic": one.topic,
        "place": one.place,
        "group": letter.group,
        "why": letter.why,
        "error": letter.error,
        "at": letter.at,
        "attempts": letter.attempts,
        "origin": letter.origin,
        "key": None if letter.key is None else letter.key.decode(errors="replace"),
        "redriven": one.redriven,
    }


def _letter_line(one: Found) -> str:
    letter = one.letter
    key = "-" if letter.key is None else letter.key.decode(errors="replace")
    tries = "1 try" if letter.attempts == 1 else f"{letter.attempts} tries"
    back = " (sent back)" if one.redriven else ""
    return _fit(f"{one.place} {letter.group} {letter.origin} key={key} {letter.why}, {tries}: {letter.error}{back}")


def _fit(line: str) -> str:
    """One line that fits the terminal; what a stranger wrote cannot move its cursor."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
    if not sys.stdout.isatty():
        return shown
    width = shutil.get_terminal_size((240, 24)).columns
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"
