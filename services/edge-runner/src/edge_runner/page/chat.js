// A conversation with the model of this node. What the model writes is shown as text, never as markup.

import { NodeError, chat, keepToken, models } from "./api.js";
import { fields, prepare } from "./asked.js";
import { show, unavailable } from "./gauges.js";

const $ = (id) => document.getElementById(id);
let messages = [];
let running = null;
let atEnd = true;
const column = document.querySelector("main");
column.addEventListener("scroll", () => {
  atEnd = column.scrollHeight - column.scrollTop - column.clientHeight < 48;
});

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function turn(who, className) {
  const item = element("li", `turn ${className}`);
  const body = element("div");
  item.append(element("h2", "", who), body);
  $("log").append(item);
  $("empty").hidden = true;
  return body;
}

/** Keep the end in sight, unless the reader has scrolled back. */
function follow() {
  if (atEnd) column.scrollTop = column.scrollHeight;
}

function busy(is) {
  $("send").disabled = is;
  $("stop").hidden = !is;
  $("doing").textContent = is ? "The model is writing…" : "";
}

async function answer(asked) {
  const body = turn("Model", "model");
  const said = element("p", "said", "");
  body.append(said);
  const began = performance.now();
  const seen = { text: "", calls: [], finish: null, usage: null, first: 0, last: 0 };
  running = new AbortController();
  busy(true);
  try {
    for await (const chunk of chat({ model: $("model").value, messages, ...asked }, running.signal)) {
      seen.usage = chunk.usage ?? seen.usage;
      const choice = chunk.choices[0];
      if (!choice) continue;
      seen.finish = choice.finish_reason ?? seen.finish;
      if (choice.delta.content || choice.delta.tool_calls) {
        seen.last = performance.now();
        seen.first ||= seen.last;
      }
      seen.text += choice.delta.content ?? "";
      seen.calls.push(...(choice.delta.tool_calls ?? []));
      said.textContent = seen.text;
      follow();
    }
    finish(body, said, seen, began, asked);
  } catch (error) {
    stopped(body, seen, error);
  } finally {
    running = null;
    busy(false);
    follow();
    await look();
  }
}

function finish(body, said, seen, began, asked) {
  const message = { role: "assistant", content: seen.text || null };
  if (seen.calls.length) {
    message.tool_calls = seen.calls.map(({ id, type, function: called }) => ({ id, type, function: called }));
    said.remove();
    calls(body, message.tool_calls);
  } else if (asked.response_format) structured(body, said, seen);
  else if (asked.tool_choice === "required") body.append(element("p", "problem", "Not finished, so no call: allow more tokens."));
  messages.push(message);
  const tokens = seen.usage?.completion_tokens ?? 0;
  const seconds = (seen.last > seen.first ? seen.last - seen.first : performance.now() - began) / 1000;
  const counted = seen.last > seen.first ? tokens - 1 : tokens;
  const speed = counted > 0 ? `${(counted / seconds).toFixed(1)} tokens/s` : "–";
  $("speed").textContent = speed;
  $("first").textContent = seen.first ? `${((seen.first - began) / 1000).toFixed(2)} s` : "–";
  const cut = seen.finish === "length" ? "; cut off at the token limit" : "";
  body.append(element("p", "note", `${tokens} tokens, ${speed}${cut}`));
}

function structured(body, said, seen) {
  try {
    const pretty = JSON.stringify(JSON.parse(seen.text), null, 2);
    said.remove();
    const kept = seen.finish === "stop";
    body.append(element("pre", "", pretty));
    body.append(element("p", kept ? "kept" : "problem", kept ? "Follows the schema; the node has checked it." : "Not finished."));
  } catch {
    body.append(element("p", "problem", "Not whole, so no JSON yet: allow more tokens."));
  }
}

/** Each call with its arguments, and a place for what the function would have returned. */
function calls(body, made) {
  const form = element("form");
  for (const call of made) {
    const card = element("div", "call");
    const named = element("p", "", "Calls ");
    named.append(element("strong", "", call.function.name));
    const label = element("label", "note", "You are the function. Its result:");
    const input = element("input");
    input.required = true;
    input.name = call.id;
    label.append(input);
    card.append(named, element("pre", "", JSON.stringify(JSON.parse(call.function.arguments), null, 2)), label);
    form.append(card);
  }
  form.append(element("button", "", made.length > 1 ? "Return the results" : "Return the result"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return;
    for (const call of made) {
      const content = form.elements.namedItem(call.id).value;
      messages.push({ role: "tool", tool_call_id: call.id, content });
      turn("Function", "tool").append(element("p", "said", content));
    }
    form.querySelector("button").remove();
    for (const input of form.querySelectorAll("input")) input.disabled = true;
    const asked = fields();
    if (asked) void answer(asked.tools ? { ...asked, tool_choice: "auto" } : asked);
  });
  body.append(element("p", "kept", "The arguments follow the schema; the node has checked them."), form);
}

function stopped(body, seen, error) {
  if (error.name === "AbortError") {
    messages.push({ role: "assistant", content: seen.text });
    body.append(element("p", "note", "Stopped."));
    return;
  }
  const asked = messages.pop(); // what has no answer is not part of the conversation
  if (asked?.role === "user") $("message").value ||= asked.content;
  const code = error instanceof NodeError && error.code ? ` (${error.code})` : "";
  const problem = element("p", "problem", `${error.message}${code}`);
  problem.setAttribute("role", "alert");
  body.append(problem);
  if (error.status === 401) locked();
}

function locked(problem = "") {
  $("door").hidden = false;
  $("door-problem").textContent = problem;
  $("door-problem").hidden = !problem;
  $("token").focus();
}

/** Ask the node how it is. */
async function look(tried = false) {
  try {
    show(await models());
    $("door").hidden = true;
  } catch (error) {
    unavailable(error);
    if (error.status === 401) locked(tried ? "That is not its token." : "");
  }
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("message").value.trim();
  const asked = running || !text ? null : fields();
  if (!asked) return;
  messages.push({ role: "user", content: text });
  turn("You", "you").append(element("p", "said", text));
  $("message").value = "";
  atEnd = true;
  follow();
  void answer(asked);
});
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => event.key === "Escape" && running?.abort());
$("stop").addEventListener("click", () => running?.abort());
$("anew").addEventListener("click", () => {
  running?.abort();
  messages = [];
  $("log").replaceChildren();
  $("empty").hidden = false;
  $("message").focus();
});
$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken($("token").value);
  $("token").value = "";
  void look(true).then(() => $("door").hidden && $("message").focus());
});

prepare();
await look();
if ($("door").hidden) $("message").focus();
setInterval(() => document.visibilityState === "visible" && $("door").hidden && look(), 5000);
