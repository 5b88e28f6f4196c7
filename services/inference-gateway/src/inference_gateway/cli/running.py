"""How a command reaches the gateway's database: one transaction, by the environment's settings."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ..settings import Settings
from ..store import accounts

T = TypeVar("T")


def run(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Do something in one transaction of the gateway's database."""

    async def main() -> T:
        engine = create_async_engine(Settings().database_url.get_secret_value())
        try:
            async with engine.begin() as connection:
                return await work(connection)
        except accounts.NoSuchProject as error:
            raise typer.BadParameter(f"no such project: {error}") from error
        finally:
            await engine.dispose()

    return asyncio.run(main())


def nano_usd(text: str) -> int:
    """US dollars as they are typed, in nano-USD. Refuses what is no amount, or finer than a nano-dollar."""
    try:
        amount = Decimal(text.removeprefix("$")) * 10**9
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text} is no amount of US dollars") from error
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise typer.BadParameter(f"{text} is no amount of US dollars with at most nine digits after the point")
    return int(amount)
