// What the node tells of itself: its models, their state, and memory beside its limit.

const $ = (id) => document.getElementById(id);
const STATES = { ready: "ready", loading: "loading", failed: "failed", unloaded: "put aside; loads when asked" };

function size(bytes) {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** Show the models; the one that was chosen stays chosen. */
export function show(models) {
  const select = $("model");
  const chosen = select.value;
  const able = models.filter((model) => model.capabilities.includes("chat"));
  if ([...select.options].map((option) => option.value).join() !== able.map((model) => model.id).join()) {
    select.replaceChildren(...able.map((model) => new Option(model.id, model.id)));
    if (able.some((model) => model.id === chosen)) select.value = chosen;
  }
  const model = able.find((one) => one.id === select.value);
  $("state").textContent = model ? (STATES[model.state] ?? model.state) : "no model that chats";
  if (!model) return;
  if ($("speed").textContent === "–" && model.tokens_per_second) {
    $("speed").textContent = `${model.tokens_per_second.toFixed(1)} tokens/s at its start`;
  }
  $("memory").textContent = `${size(model.resident_bytes)} of ${size(model.memory_bytes)}`;
  $("memory-bar").max = model.memory_bytes;
  $("memory-bar").value = model.resident_bytes;
}

/** The node does not answer, or not us. */
export function unavailable(error) {
  $("state").textContent = error.status === 401 ? "locked" : `not reached: ${error.message}`;
}
