"""Remembers, over restarts, what a node should hold and which models have answered here before.

One small file in the node's one writable folder. Where it cannot be written the node works on: the fleet's events tell
it again.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import structlog

from ..domain.holdings import Desired, Wanted

log = structlog.get_logger("edge_runner")


class Book:
    """The file ``.node-<id>.json`` beside the weights."""

    def __init__(self, folder: Path, node_id: str) -> None:
        self._path = folder / f".node-{quote(node_id, safe='')}.json"
        self.desired: Desired | None = None
        self._answered: dict[str, str] = {}
        self._read()

    def keep(self, desired: Desired) -> None:
        """Keep what is wanted, before it is carried out."""
        self.desired = desired
        wanted = {one.model for one in desired.models}
        self._answered = {model: identity for model, identity in self._answered.items() if model in wanted}
        self._write()

    def answered(self, model: str, identity: str) -> None:
        """Keep that a model, served exactly so, has answered a real generation."""
        if self._answered.get(model) != identity:
            self._answered[model] = identity
            self._write()

    def has_answered(self, model: str, identity: str) -> bool:
        """Whether it has, on this node."""
        return self._answered.get(model) == identity

    def _read(self) -> None:
        try:
            kept = json.loads(self._path.read_text())
            told = kept["desired"]
            self.desired = told and Desired(**(told | {"models": tuple(Wanted(**one) for one in told["models"])}))
            self._answered = dict(kept["answered"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("kept_state_unreadable", file=str(self._path), error=repr(error))

    def _write(self) -> None:
        if self.desired is None:
            return  # nothing was deployed: what the node was started with is told by who starts it
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w") as file:
                json.dump({"desired": asdict(self.desired), "answered": self._answered}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            log.warning("state_not_kept", file=str(self._path), error=str(error))
