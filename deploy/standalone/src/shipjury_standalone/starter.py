"""The starter catalog, imported by the catalog's own command; skipped where nothing is new."""

import asyncio
import hashlib
import importlib.util
import os
import sys
from pathlib import Path

from .folder import DataFolder


class StarterCatalogFailed(Exception):
    """The catalog refused a starter file; the message is the catalog's."""


async def load_starter_catalog(folder: DataFolder) -> int:
    """Import the packaged tools. Returns how many there are."""
    files = sorted(starter_folder().glob("*.yaml"))
    now = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if folder.note("starter catalog") != now:
        importing = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "catalog", "import"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(os.environ),
        )
        try:
            said, _ = await importing.communicate()
        except asyncio.CancelledError:  # it is idempotent: the next start does the rest
            importing.kill()
            await importing.wait()
            raise
        if importing.returncode != 0:
            raise StarterCatalogFailed(said.decode(errors="replace").strip())
        folder.remember("starter catalog", now)
    return len(files)


def starter_folder() -> Path:
    """Where the catalog keeps the tools that it comes with."""
    found = importlib.util.find_spec("catalog")
    return Path(next(iter(found.submodule_search_locations or ()))) / "starter" if found else Path()
