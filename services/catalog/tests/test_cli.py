"""Operators' commands, as they are typed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from catalog.cli import commands

from .builders import TOOL_FILE

Shell = Callable[..., Awaitable[Result]]


@pytest.fixture
async def shell(make_database: Callable[[str], Awaitable[str]], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Types a command against an empty catalog."""
    monkeypatch.setenv("CATALOG_DATABASE_URL", await make_database("catalog"))
    monkeypatch.setenv("CATALOG_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("CATALOG_OPERATOR_KEY", "not used")

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, commands, list(arguments))

    return run


async def test_a_file_is_published_once(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "quillbase.yaml"
    file.write_text(TOOL_FILE)
    first, again = await shell("publish", str(file)), await shell("publish", str(file))
    assert first.output.split()[:3] == ["new", "quillbase", "v1"]
    assert again.output.split()[:3] == ["unchanged", "quillbase", "v1"]


async def test_a_bad_file_names_file_line_and_field_and_publishes_nothing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOOL_FILE)
    bad = tmp_path / "b.yaml"
    bad.write_text(TOOL_FILE.replace("slug: quillbase", "slug: inkwell") + "colour: red\n")
    result = await shell("publish", str(tmp_path))
    assert result.exit_code == 1
    assert f"{bad}:15: colour: is no field of a tool file" in result.output
    assert (await shell("list")).output == ""


async def test_an_empty_folder_and_a_missing_file_say_so(shell: Shell, tmp_path: Path) -> None:
    empty = await shell("publish", str(tmp_path))
    missing = await shell("publish", str(tmp_path / "nothing.yaml"))
    assert (empty.exit_code, missing.exit_code) == (1, 1)
    assert "holds no .yaml, .yml or .json file" in empty.output
    assert "No such file" in missing.output


async def test_the_starter_catalog_is_imported_listed_and_retired_from(shell: Shell) -> None:
    assert (await shell("import")).output.count("new ") == 30
    assert (await shell("retire", "tgi", "--into", "vllm")).output.startswith("retired")
    listed = (await shell("list")).output
    assert "vllm" in listed
    assert "tgi" not in listed
    assert "(retired)" in (await shell("list", "--retired")).output
    assert (await shell("import")).output.count("unchanged") == 30
    assert (await shell("retire", "nothing")).exit_code == 1
