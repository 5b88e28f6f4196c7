"""The fleet as one page for operators: no script, nothing from elsewhere; it asks for itself again every 5 seconds."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any

_MIB = 1 << 20
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { margin: 1.5rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 1.6rem 0 .2rem } p { margin: .2rem 0 }
table { border-collapse: collapse; width: 100%; margin-top: .4rem }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #c0392b; font-weight: 600 } .dim { opacity: .7 } meter { width: 10rem }
.wide { overflow-x: auto }
"""
_HEAD = (
    "<tr><th>Model</th><th>State</th><th class=n>Memory, MiB</th><th class=n>Estimate</th><th class=n>Context</th>"
    "<th class=n>Running</th><th class=n>Waiting</th><th class=n>Tokens/s</th><th class=n>Measured: first token, ms"
    "</th><th class=n>prefill</th><th class=n>decode</th></tr>"
)


def fleet_page(nodes: Iterable[Mapping[str, Any]], now: datetime) -> str:
    """The page. What nodes say of themselves is text, never markup."""
    shown = [_node(node) for node in nodes]
    body = "".join(shown) or "<p>No node has told of itself yet.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The fleet</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="5">'
        f"<style>{_STYLE}</style></head><body><h1>The fleet: {len(shown)} node{'' if len(shown) == 1 else 's'}</h1>"
        f'<p class="dim">As of {now:%H:%M:%S} UTC. Speeds in tokens a second.</p>{body}</body></html>'
    )


def _node(node: Mapping[str, Any]) -> str:
    state = str(node["state"])
    deployment = node.get("deployment") or {}
    kept_away = "drained" if deployment.get("drained") else "cordoned" if deployment.get("cordoned") else ""
    bad = " class=bad" if state in ("gone", "stopped") or kept_away else ""
    used, has = node.get("memory_used_bytes", 0), node.get("memory_bytes", 0)
    labels = ", ".join(f"{name}={value}" for name, value in sorted((node.get("labels") or {}).items()))
    generation = f"{node.get('generation', 0)} of {deployment.get('generation', 0)}"
    rows = "".join(_model(model, node.get("benchmarks", {}).get(model["model"])) for model in node.get("models", ()))
    rows += "".join(
        f"<tr><td>{escape(one['model'])}</td><td class=dim colspan=10>wanted, not told of yet</td></tr>"
        for one in deployment.get("models", ())
        if one["model"] not in {model["model"] for model in node.get("models", ())}
    )
    return (
        f"<h2>{escape(node['node_id'])} <span{bad}>{escape(state)}{', ' + kept_away if kept_away else ''}</span></h2>"
        f"<p>{escape(str(node.get('base_url', '')))} · {escape(str(node.get('engine') or 'no engine'))} · "
        f"{escape(labels) or 'no labels'} · deployment {escape(generation)} carried out · "
        f"heard {node.get('silent_seconds', 0)} s ago</p>"
        f"<p><meter min=0 max={max(1, int(has))} value={int(used)}></meter> "
        f"{used // _MIB:,} of {has // _MIB:,} MiB in use</p>"
        f"<div class=wide><table>{_HEAD}{rows}</table></div>"
    )


def _model(model: Mapping[str, Any], measured: Mapping[str, Any] | None) -> str:
    state = str(model["state"])
    said = " · ".join(escape(str(model[name])) for name in ("progress", "reason") if model.get(name))
    bad = " class=bad" if state == "failed" else ""
    numbers = [
        f"{model.get('resident_bytes', 0) // _MIB:,}",
        f"{model.get('estimated_bytes', 0) // _MIB:,}",
        f"{model.get('context_tokens', 0):,} × {model.get('slots', 0)}",
        str(model.get("running", 0)),
        str(model.get("waiting", 0)),
        _rounded(model.get("tokens_per_second")),
        _rounded((measured or {}).get("time_to_first_token_ms")),
        _rounded((measured or {}).get("prefill_tokens_per_second")),
        _rounded((measured or {}).get("decode_tokens_per_second")),
    ]
    return (
        f"<tr><td>{escape(model['model'])}"
        f"<br><span class=dim>{escape(str(model.get('quantization') or ''))}</span></td>"
        f"<td><span{bad}>{escape(state)}</span><br><span class=dim>{said}</span></td>"
        + "".join(f"<td class=n>{number}</td>" for number in numbers)
        + "</tr>"
    )


def _rounded(value: Any) -> str:
    return "–" if value is None else f"{float(value):,.1f}"
