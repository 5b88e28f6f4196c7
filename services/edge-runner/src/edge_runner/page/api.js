// The node's OpenAI-compatible API: the models, and a chat as a stream. The token stays in this window.

const KEPT = "edge-token";

/** An error of the node, with its HTTP status (0 inside a stream) and its code. */
export class NodeError extends Error {
  constructor(status, error) {
    super(error?.message ?? `the node answered ${status}`);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

function headers() {
  const token = sessionStorage.getItem(KEPT);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function refusal(response) {
  let told = null;
  try {
    told = (await response.json()).error;
  } catch {
    // not one of the node's own errors: its status must do
  }
  return new NodeError(response.status, told);
}

/** What the node serves, as /v1/models tells. */
export async function models() {
  const response = await fetch("v1/models", { headers: headers(), cache: "no-store" });
  if (!response.ok) throw await refusal(response);
  return (await response.json()).data;
}

/** The chunks of a chat as they come. A stream without [DONE] was cut off, and throws. */
export async function* chat(body, signal) {
  const response = await fetch("v1/chat/completions", {
    method: "POST",
    headers: { ...headers(), "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new NodeError(0, { message: "the answer was cut off", code: "cut_off" });
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      if (event === "data: [DONE]") return;
      const chunk = JSON.parse(event.slice(6));
      if (chunk.error) throw new NodeError(0, chunk.error);
      yield chunk;
    }
  }
}
