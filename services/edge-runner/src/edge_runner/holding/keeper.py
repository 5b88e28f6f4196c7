"""Carries out what a node should hold: pulls, checks, loads, replaces and lets go, and says how far it is.

One deployment after another: a newer generation takes the place of one that is still being carried out. A model whose
new form cannot be held goes on in its old one.
"""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from ..domain.fit import MIB
from ..domain.holdings import CannotHold, Desired, Wanted
from ..domain.models import Model, UnknownModel
from ..gguf import NotGguf
from ..model_list import load_models
from ..node import Holding, Node, Trouble
from ..pull import PullFailed, pull
from ..settings import EdgeSettings
from ..weights import WeightsMissing, WrongHash
from .book import Book
from .plan import DoesNotFit, check_room_beforehand, context_of, plan
from .shelf import NotLoaded, Shelf

_FIRST_WAIT, _LONGEST_WAIT = 5.0, 300.0
_LOOK_SECONDS = 1.0
log = structlog.get_logger("edge_runner")


class Keeper:
    """Keeps the node's models as they are wanted."""

    def __init__(self, node: Node, shelf: Shelf, settings: EdgeSettings, engine_name: str, book: Book) -> None:
        self._node, self._shelf, self._settings, self._engine_name = node, shelf, settings, engine_name
        self._book = book
        self._desired: Desired | None = None
        self._changed = asyncio.Event()
        self._pulls: dict[str, asyncio.Task[None]] = {}

    def want(self, desired: Desired) -> bool:
        """Take a deployment on; one that is not newer than what is known changes nothing. Returns whether it was."""
        if self._desired is not None and desired.generation <= self._desired.generation:
            return False
        log.info("deployment", generation=desired.generation, models=[one.model for one in desired.models])
        self._desired = desired
        if desired.generation:
            self._book.keep(desired)
        self._changed.set()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Carry out what is wanted until ``stop``."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                work = asyncio.create_task(self._carry_out(self._desired)) if self._desired else changed
                await asyncio.wait({stopping, changed, work}, return_when=asyncio.FIRST_COMPLETED)
                if work.done() and work is not changed:
                    work.result()
                    await asyncio.wait({stopping, changed}, return_when=asyncio.FIRST_COMPLETED)
                for task in (changed, work):
                    task.cancel()
                await asyncio.gather(changed, work, return_exceptions=True)
        finally:
            stopping.cancel()

    async def _carry_out(self, desired: Desired) -> None:
        node = self._node
        node.cordoned, node.drained = desired.cordoned, desired.drained
        node.changed.set()
        wanted = {one.model: one for one in desired.models}
        unwanted = [name for name in {*node.holdings, *node.troubles} if name not in wanted]
        async with asyncio.TaskGroup() as tasks:
            for name in unwanted:
                tasks.create_task(self._let_go(name))
            if desired.drained:
                for holding in [*node.holdings.values()]:
                    tasks.create_task(self._shelf.unload(holding, "drained", at_most=self._settings.drain_seconds))
            else:
                for one in desired.models:
                    tasks.create_task(self._keep(one))
        node.generation = desired.generation
        node.changed.set()
        log.info("deployment_carried_out", generation=desired.generation, failed=sorted(node.troubles))
        await self._try_again(desired)

    async def _try_again(self, desired: Desired) -> None:
        """What may succeed later (a source that does not answer) is tried again, less and less often."""
        wait = _FIRST_WAIT
        while again := [one for one in desired.models if self._may_succeed(one.model)]:
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
            for one in again:
                await self._keep(one)

    def _may_succeed(self, model: str) -> bool:
        trouble = self._node.troubles.get(model)
        return trouble is not None and trouble.code == "source_missing" and not self._node.drained

    async def _let_go(self, model: str) -> None:
        if (holding := self._node.drop(model)) is not None:
            await self._shelf.unload(holding, "no longer wanted", at_most=self._settings.drain_seconds, for_good=True)

    async def _keep(self, wanted: Wanted) -> None:
        """Hold a wanted model, or note why not: one that fails takes no other with it."""
        node = self._node
        try:
            holding = node.holdings.get(wanted.model)
            if holding is None or not self._is_as_wanted(holding, wanted):
                holding = await self._planned(wanted)
                before = node.holdings.get(wanted.model)
                self._shelf.put(holding)
                if before is not None:
                    await self._shelf.unload(before, "replaced", at_most=self._settings.drain_seconds, for_good=True)
            node.note(wanted.model, None)
            await self._first_answer(holding)
        except CannotHold as error:
            log.error("cannot_hold", model=wanted.model, code=error.code, reason=str(error))
            node.note(wanted.model, Trouble(error.code, str(error)))
        except NotLoaded:
            return  # a newer deployment lets it go or drains the node
        except Exception as error:
            log.exception("cannot_hold", model=wanted.model)
            node.note(wanted.model, Trouble("internal_error", repr(error)))

    async def _first_answer(self, holding: Holding) -> None:
        """Nothing is called held before it has answered a real generation here, in this form."""
        model, identity = holding.model.id, f"{holding.fingerprint}; {holding.spec.context}; {holding.spec.slots}"
        if holding.supervisor.client is not None:
            return
        if self._book.has_answered(model, identity):
            holding.life.proven = True
            if not self._shelf.has_room(holding):
                return
        await self._shelf.prove(holding)
        if holding.life.proven:
            self._book.answered(model, identity)

    def _is_as_wanted(self, holding: Holding, wanted: Wanted) -> bool:
        slots = wanted.slots or self._settings.slots
        with suppress(ValueError):
            return holding.spec.slots == slots and holding.spec.context == context_of(
                self._settings, holding.model, wanted
            )
        return False

    async def _planned(self, wanted: Wanted) -> Holding:
        """The model, ready to be loaded. Raises :class:`CannotHold`."""
        make = partial(plan, self._settings, wanted.model, self._engine_name, self._node, wanted)
        self._note(wanted.model, "looking for its weights")
        try:
            try:
                return await asyncio.to_thread(make)
            except WeightsMissing:
                model = load_models(self._settings.model_list).find(wanted.model)
                check_room_beforehand(self._settings, model, wanted)
                await self._pulled(model, wanted)
                self._note(wanted.model, "verifying")
                return await asyncio.to_thread(make)
        except UnknownModel as error:
            raise CannotHold("unknown_model", f"no model {error.model!r} in this node's list") from error
        except DoesNotFit as error:
            raise CannotHold("does_not_fit", str(error)) from error
        except WrongHash as error:
            raise CannotHold("wrong_hash", str(error)) from error
        except NotGguf as error:
            raise CannotHold("bad_weights", str(error)) from error
        except (PullFailed, WeightsMissing) as error:
            raise CannotHold("source_missing", str(error)) from error
        except (ValueError, OSError) as error:
            raise CannotHold("cannot_serve", str(error) or repr(error)) from error

    async def _pulled(self, model: Model, wanted: Wanted) -> None:
        """Get the weights. A pull goes on over deployments; nobody pulls the same model twice at once."""
        licence = model.licence
        if licence.restricts is not None and wanted.accept_licence != licence.name:
            raise CannotHold(
                "licence_not_accepted",
                f"{model.id} is under {licence.name}: {licence.restricts} ({licence.source}). "
                f"If you may and want to use it so, deploy it with --accept-licence {licence.name}",
            )
        if model.id not in self._pulls:
            work = asyncio.to_thread(pull, model, self._settings.models_dir, accepted=wanted.accept_licence)
            self._pulls[model.id] = asyncio.create_task(_nothing(work))
            self._pulls[model.id].add_done_callback(lambda _: self._pulls.pop(model.id, None))
        pulling = self._pulls[model.id]
        while not pulling.done():
            self._note(model.id, f"pulling {_so_far(self._settings.models_dir / model.id, model)}")
            await asyncio.wait({pulling}, timeout=_LOOK_SECONDS)
        pulling.result()

    def _note(self, model: str, progress: str) -> None:
        self._node.note(model, Trouble(progress=progress))


async def _nothing(work: object) -> None:
    await work  # type: ignore[misc]


def _so_far(folder: Path, model: Model) -> str:
    """How much of a file is here: ``512 of 2,040 MiB``."""
    try:
        here = sum(part.stat().st_size for part in (folder / ".partial").iterdir())
    except OSError:
        here = 0
    whole = model.weights[0].size_bytes if model.weights else None
    return f"{here // MIB:,} of {whole // MIB:,} MiB" if whole else f"{here // MIB:,} MiB"
