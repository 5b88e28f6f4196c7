"""The embedded parts that all tests stand on are what they say."""

import asyncpg
import redis.asyncio as redis

from shipjury_standalone.embedded.postgres import Postgres


async def test_the_embedded_postgres_takes_its_owner_and_nobody_without_the_password(
    embedded_postgres: Postgres,
) -> None:
    connection = await asyncpg.connect(embedded_postgres.dsn())
    assert await connection.fetchval("SHOW server_version_num") >= "170000"
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    await connection.close()
    try:
        await asyncpg.connect(embedded_postgres.dsn().replace(embedded_postgres.password, "guessed"))
    except asyncpg.InvalidPasswordError:
        return
    raise AssertionError("a wrong password was taken")


async def test_redis_is_empty_at_the_start_of_a_test(redis_url: str) -> None:
    async with redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "behind")


async def test_redis_is_empty_at_the_start_of_the_next_test_too(redis_url: str) -> None:
    async with redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
