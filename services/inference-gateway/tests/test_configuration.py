"""Provider files are checked before they are in force, and read anew without dropping a request."""

import asyncio
import os
import signal
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from inference_gateway.store.manifest_checks import check, line_of
from inference_gateway.store.manifests import shipped
from shipjury_standalone.testing import wait_until

from .conftest import write_providers


def test_the_shipped_files_are_good() -> None:
    assert check([shipped()]) == []


def test_each_problem_has_its_file_line_and_field(tmp_path: Path) -> None:
    write_providers(tmp_path, "http://127.0.0.1:1")
    alpha, beta = tmp_path / "alpha.toml", tmp_path / "beta.toml"
    alpha.write_text(alpha.read_text().replace('input = "0.59"', 'input = "-1"').replace("name =", "nam ="))
    beta.write_text("id = \n")
    (tmp_path / "copy.toml").write_text((tmp_path / "gamma.toml").read_text())
    told = {(one.file, one.line, one.field) for one in check([tmp_path])}
    text = alpha.read_text().splitlines()
    assert ("alpha.toml", text.index('input = "-1"') + 1, "models.0.prices.0.input") in told
    assert (
        "alpha.toml",
        next(at for at, line in enumerate(text, 1) if line.startswith("nam =")),
        "models.0.nam",
    ) in told
    assert ("beta.toml", 1, "") in told
    assert ("gamma.toml", 2, "id") in told


def test_two_prices_of_one_day_and_unknown_features_are_problems(tmp_path: Path) -> None:
    write_providers(tmp_path, "http://127.0.0.1:1", ("alpha",))
    path = tmp_path / "alpha.toml"
    price = '[[models.prices]]\nsince = 2026-01-01\ninput = "1"\noutput = "1"\nsource = "x"\n'
    path.write_text(path.read_text().replace('"tools", ', '"tolls", ') + price)
    fields = [one.field for one in check([tmp_path])]
    assert fields == ["features", "models.0.prices.1.since"]


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    [problem] = check([tmp_path / "nowhere"])
    assert "no such folder" in str(problem)


def test_a_missing_field_has_the_line_of_its_table() -> None:
    text = 'id = "a"\n[[models]]\nid = "x"\n[[models]]\nid = "y"\n[[models.prices]]\nsince = 2026-01-01\n'
    assert line_of(text, ("models", 1, "prices", 0, "output")) == 6
    assert line_of(text, ("models", 1, "id")) == 5


def operators(gateway: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=gateway.api.operator)
    return httpx.AsyncClient(transport=transport, base_url="http://operators/gateway/admin")


def price_from_today(folder: Path, output: str) -> None:
    """A new price, as a price changes: a new entry with its day."""
    path = folder / "alpha.toml"
    entry = f'[[models.prices]]\nsince = {date.today()}\ninput = "1"\noutput = "{output}"\nsource = "a list"\n'  # noqa: DTZ011
    path.write_text(path.read_text() + entry)


def at_least(done: list[int], count: int) -> bool:
    return len(done) >= count


async def test_reloading_under_load_drops_no_request(gateway: Any) -> None:
    done: list[int] = []
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            done.append((await gateway.chat("words=3"))[0])

    clients = [asyncio.create_task(client()) for _ in range(8)]
    async with operators(gateway) as calls:
        for number in range(6):
            await wait_until(partial(at_least, done, len(done) + 20))
            path = gateway.settings.providers_dir / "beta.toml"
            path.write_text(path.read_text() + f"# change {number}\n")
            assert (await calls.post("/configuration/reload")).status_code == 200
    stop.set()
    await asyncio.gather(*clients)
    assert len(done) >= 120
    assert [status for status in done if status != 200] == []


async def test_a_bad_file_leaves_the_old_one_in_force_and_says_so(gateway: Any) -> None:
    folder = gateway.settings.providers_dir
    good = (folder / "alpha.toml").read_text()
    (folder / "alpha.toml").write_text(good.replace('output = "0.79"', 'output = "cheap"'))
    async with operators(gateway) as calls:
        answer = await calls.post("/configuration/reload")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        [problem] = answer.json()["errors"]
        assert (problem["file"], problem["field"]) == ("alpha.toml", "models.0.prices.0.output")
        assert (await calls.get("/configuration")).json()["problems"] == [problem]
        assert (await gateway.chat())[0] == 200
        (folder / "alpha.toml").write_text(good)
        assert (await calls.post("/configuration/reload")).json()["problems"] == []


async def test_a_price_changed_in_place_is_refused_and_a_new_one_is_a_new_version(gateway: Any) -> None:
    folder = gateway.settings.providers_dir
    good = (folder / "alpha.toml").read_text()
    (folder / "alpha.toml").write_text(good.replace('output = "0.79"', 'output = "0.80"'))
    async with operators(gateway) as calls:
        assert "changed in place" in (await calls.post("/configuration/reload")).text
        (folder / "alpha.toml").write_text(good)
        price_from_today(folder, "7")
        assert (await calls.post("/configuration/reload")).status_code == 200
    await gateway.chat("words=2")
    [row] = await gateway.ledger()
    assert row["price_version"] == f"alpha/{date.today()}"  # noqa: DTZ011


async def test_a_changed_file_and_a_hang_up_are_read_without_being_told(gateway: Any) -> None:
    folder = gateway.settings.providers_dir

    async def providers() -> int:
        async with operators(gateway) as calls:
            return int((await calls.get("/configuration")).json()["providers"])

    async def has(count: int) -> bool:
        return await providers() == count

    (folder / "gamma.toml").unlink()
    await wait_until(lambda: has(2))
    write_providers(folder, gateway.simulator, ("gamma",))
    os.kill(os.getpid(), signal.SIGHUP)
    await wait_until(lambda: has(3))
