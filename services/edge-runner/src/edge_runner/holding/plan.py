"""A model as this node would serve it: its file, its engine, its flags, and what it takes of the memory."""

from ..admission import Gate
from ..domain import fit
from ..domain.holdings import Wanted
from ..domain.models import Architecture, Model
from ..domain.q4_k_m import NotEnoughKnown
from ..engines import ServeSpec, engine_for
from ..engines.supervisor import Supervisor
from ..memory import memory_of
from ..model_list import load_models
from ..node import Holding, Node
from ..settings import EdgeSettings
from ..weights import LocalWeights

_DEFAULT_CONTEXT = 2048


class DoesNotFit(ValueError):
    """A model needs more memory than this node has; the text has the numbers."""


def plan(settings: EdgeSettings, model_id: str, engine_name: str, node: Node, wanted: Wanted | None = None) -> Holding:
    """A model as this node would serve it; ``wanted`` may ask for another context or other slots than the settings.

    Raises ``UnknownModel``, ``WeightsMissing``, ``WrongHash``, ``NotGguf``, :class:`DoesNotFit`; ``ValueError`` for a
    setting that cannot be.
    """
    wanted = wanted or Wanted(model_id)
    model = load_models(settings.model_list).find(model_id)
    engine = engine_for(engine_name, model, settings.models_dir, settings.vllm)
    if model.embeddings and engine.name != "llama.cpp":
        raise ValueError(f"{model.id} makes embeddings; they are served with llama.cpp only, not with {engine.name}")
    weights = engine.find_weights(model, settings.models_dir)
    needs = check_room(settings, model, weights, wanted, engine.name)
    spec = ServeSpec(
        model=model.id,
        path=weights.path,
        context=context_of(settings, model, wanted),
        slots=wanted.slots or settings.slots,
        threads=settings.threads,
        cache_ram_mib=settings.cache_ram_mib,
        kv_type=settings.kv_type,
        memory_limit=memory_of(settings.memory) if settings.memory else None,
        pooling=model.embeddings,
        folder=settings.state_dir or settings.models_dir,
    )
    supervisor = Supervisor(engine, spec, ready_seconds=settings.ready_seconds, on_change=node.changed.set)
    gate = Gate(spec.slots, settings.queue, settings.queue_seconds)
    return Holding(model, weights, engine, spec, supervisor, gate, needs)


def check_room(
    settings: EdgeSettings,
    model: Model,
    weights: LocalWeights,
    wanted: Wanted | None = None,
    engine: str = "llama.cpp",
) -> int:
    """Bytes that serving the weights takes with full slots. Raises :class:`DoesNotFit` with the numbers."""
    shape, held = weights.header.architecture(), weights.header.weights_bytes
    return _need(settings, model, wanted or Wanted(model.id), shape, held, engine)


def check_room_beforehand(settings: EdgeSettings, model: Model, wanted: Wanted) -> None:
    """The same by the numbers of the model list, before anything is pulled. Raises :class:`DoesNotFit`.

    Where the list knows too little, nothing is raised: the file itself will tell.
    """
    try:
        _need(settings, model, wanted, model.architecture, model.weights[0].size_bytes if model.weights else None)
    except NotEnoughKnown:
        return


def context_of(settings: EdgeSettings, model: Model, wanted: Wanted) -> int:
    """The context that a request gets, in tokens. Raises ``ValueError`` for more than the model has."""
    longest = model.architecture.max_context
    asked = wanted.context_tokens or settings.context_tokens
    context = asked or min(_DEFAULT_CONTEXT, longest or _DEFAULT_CONTEXT)
    if longest is not None and context > longest:
        what = "a context" if wanted.context_tokens else "EDGE_CONTEXT_TOKENS"
        raise ValueError(f"{what} is {context}, and {model.id} has at most {longest}")
    return context


def _need(
    settings: EdgeSettings,
    model: Model,
    wanted: Wanted,
    shape: Architecture,
    weights: int | None,
    engine: str = "llama.cpp",
) -> int:
    memory, slots, kv_type = memory_of(settings.memory), wanted.slots or settings.slots, settings.kv_type
    host_cache = settings.cache_ram_mib * fit.MIB
    needed = fit.need(
        shape,
        weights=weights,
        context=context_of(settings, model, wanted),
        slots=slots,
        kv_type=kv_type,
        host_cache=host_cache,
        engine=engine,
    )
    if fit.fits_into(needed, memory):
        return needed.at_most
    longest = fit.largest_context(
        shape, memory, weights=weights, slots=slots, kv_type=kv_type, host_cache=host_cache, engine=engine
    )
    raise DoesNotFit(
        f"{model.id} needs {(needed.at_most + fit.MARGIN_BYTES) // fit.MIB} MiB and this node has {memory // fit.MIB}: "
        + (
            f"EDGE_CONTEXT_TOKENS={longest} (a deployment's --context {longest}) fits"
            if longest
            else "not even with a context of 256 tokens"
        )
        + (f", and so may fewer than {slots} slots" if slots > 1 else "")
    )
