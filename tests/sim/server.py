"""The simulated providers' HTTP: each under `/<provider>` followed by the path that the real one has."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from . import auth, content, converse, errors, limits, stream, whole
from .account import Account
from .call import Call
from .checks import check, parse
from .faults import BEFORE
from .world import Provider, providers

ACCOUNT = web.AppKey("account", Account)
WORLD = web.AppKey("world", dict[str, Provider])
TOKENS = web.AppKey("tokens", auth.Tokens)
TLS = web.AppKey("tls", dict[str, str])

Answering = Callable[[web.Request, Provider, bytes], Awaitable[web.StreamResponse]]
_ROUTES = {"/chat/completions": "chat", "/completions": "completions", "/embeddings": "embeddings"}


def make_app(world: dict[str, Provider] | None = None) -> web.Application:
    """The app; ``app[ACCOUNT]`` is its account."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[ACCOUNT] = Account()
    app[WORLD] = world or providers()
    app[TOKENS] = auth.Tokens()
    app[TLS] = {}
    for provider in app[WORLD].values():
        base = f"/{provider.id}{provider.root}"
        for path, endpoint in _ROUTES.items():
            app.router.add_post(base + path, _guarded(provider, endpoint))
        app.router.add_get(f"{base}/models", _listing(provider))
        if provider.auth == "azure":
            deployment = f"/{provider.id}/openai/deployments/{{model}}"
            for path, endpoint in _ROUTES.items():
                app.router.add_post(deployment + path, _guarded(provider, endpoint))
            app.router.add_post(f"/{provider.id}/{{tenant}}/oauth2/v2.0/token", _sell(provider))
        if provider.auth == "google":
            app.router.add_post(f"/{provider.id}/token", _sell(provider))
        if provider.auth == "aws":
            app.router.add_post(f"/{provider.id}/model/{{model}}/converse", _converse(provider, streaming=False))
            app.router.add_post(f"/{provider.id}/model/{{model}}/converse-stream", _converse(provider, streaming=True))
    app.router.add_get("/_sim/account", account)
    app.router.add_post("/_sim/reset", reset)
    app.router.add_get("/_sim/tls", tls)
    app.router.add_get("/_sim/service-account", service_account)
    app.router.add_post("/_sim/tokens", token_lifetime)
    return app


async def account(request: web.Request) -> web.Response:
    """Every attempt so far."""
    return web.json_response(request.app[ACCOUNT].as_json())


async def reset(request: web.Request) -> web.Response:
    """Forget every attempt."""
    request.app[ACCOUNT].lines.clear()
    return web.json_response({})


async def tls(request: web.Request) -> web.Response:
    """Where TLS fails, by how."""
    return web.json_response(request.app[TLS])


async def service_account(request: web.Request) -> web.Response:
    """Google's file of a service account."""
    token_uri = str(request.url.origin()) + "/vertex/token"
    return web.json_response(request.app[TOKENS].service_account(token_uri))


async def token_lifetime(request: web.Request) -> web.Response:
    """How long tokens live from now on (`lifetime_s`), and whether those sold are void (`forget`)."""
    asked = await request.json()
    tokens = request.app[TOKENS]
    tokens.lifetime_s = asked.get("lifetime_s", tokens.lifetime_s)
    if asked.get("forget"):
        tokens.sold.clear()
    return web.json_response({"sold": len(tokens.sold)})


def _answered(provider: Provider, answering: Answering) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that authenticates first, and that puts refusals into the provider's words."""

    async def handle(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            auth.authenticate(provider, request.app[TOKENS], request, raw)
            return await answering(request, provider, raw)
        except errors.Refused as refused:
            return errors.answer(provider, refused, limits.headers(provider))

    return handle


def _guarded(provider: Provider, endpoint: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answering(request: web.Request, provider: Provider, raw: bytes) -> web.StreamResponse:
        body = parse(raw)
        if "model" in request.match_info:
            if "api-version" not in request.query:
                raise errors.Refused(404, "Resource not found")
            body["model"] = auth.model_of_path(request)
        check(provider, body, endpoint)
        call = _call(request, provider, body, endpoint)
        if call.fault in BEFORE:
            return await whole.break_before(call, call.fault)
        if endpoint == "embeddings":
            return whole.embeddings(call)
        words = content.answer(call.prompt, body)
        return await stream.completion(call, words) if body.get("stream") else whole.completion(call, words)

    return _answered(provider, answering)


def _converse(provider: Provider, *, streaming: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answering(request: web.Request, provider: Provider, raw: bytes) -> web.StreamResponse:
        body = converse.as_openai(provider, parse(raw), auth.model_of_path(request))
        call = _call(request, provider, body, "chat")
        if call.fault in BEFORE:
            return await whole.break_before(call, call.fault)
        words = content.answer(call.prompt, body)
        return await converse.stream(call, words) if streaming else converse.whole(call, words)

    return _answered(provider, answering)


def _listing(provider: Provider) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answering(request: web.Request, provider: Provider, _: bytes) -> web.StreamResponse:
        data = [{"id": model, "object": "model"} for model in (*provider.models, *provider.embeds)]
        return web.json_response({"object": "list", "data": data})

    return _answered(provider, answering)


def _sell(provider: Provider) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        tokens, form = request.app[TOKENS], await request.read()
        try:
            google = provider.auth == "google"
            sold = auth.google_token(tokens, form) if google else auth.entra_token(tokens, provider, form)
        except errors.Refused as refused:
            told = {"error": "invalid_grant", "error_description": refused.message}
            return web.json_response(told, status=refused.status)
        return web.json_response(sold)

    return handle


def _call(request: web.Request, provider: Provider, body: dict[str, Any], endpoint: str) -> Call:
    return Call(request, provider, request.app[ACCOUNT], body, endpoint, content.prompt_of(body, endpoint))
