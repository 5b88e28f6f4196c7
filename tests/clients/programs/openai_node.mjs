// OpenAI's client for JavaScript, on a gateway: prints as JSON what it got. Usage: URL KEY.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const [url, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const said = (content) => [{ role: "user", content }];
const schema = { type: "object", properties: { tool: { type: "string" } }, required: ["tool"] };
const forecast = { type: "function", function: { name: "forecast", parameters: schema } };
const chat = (content, more = {}) =>
  client.chat.completions.create({ model: "sim-chat", messages: said(content), ...more });

const failing = async (call) => {
  try {
    await call();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, code: error.code ?? null, param: error.param ?? null };
  }
};

const streamed = async () => {
  let text = "";
  let usage = null;
  for await (const chunk of await chat("words=4", { stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { text, usage: usage.completion_tokens };
};

const responsesStream = async () => {
  const stream = client.responses.stream({ model: "sim-chat", input: "words=4" });
  const types = [];
  for await (const event of stream) types.push(event.type);
  return { text: (await stream.finalResponse()).output_text, last: types.at(-1) };
};

const shape = { type: "json_schema", json_schema: { name: "verdict", schema } };
const tool = (await chat("weather", { tools: [forecast] })).choices[0].message.tool_calls[0];
const runner = client.chat.completions.runTools({
  model: "sim-chat",
  messages: said("weather"),
  tools: [{ type: "function", function: { ...forecast.function, parse: JSON.parse, function: () => "rain" } }],
});
const vectors = await client.embeddings.create({ model: "sim-chat", input: ["hello", "there"], dimensions: 4 });
const call = { type: "function", name: "forecast", parameters: schema, strict: true };
const drain = async (stream) => {
  for await (const _ of stream);
};

console.log(
  JSON.stringify({
    versions: {
      openai: JSON.parse(readFileSync("node_modules/openai/package.json")).version,
      node: process.versions.node,
    },
    chat: (await chat("words=4")).choices[0].message.content,
    stream: await streamed(),
    tools: JSON.parse(tool.function.arguments),
    after_tool: await runner.finalContent(),
    structured: JSON.parse((await chat("judge", { response_format: shape })).choices[0].message.content),
    embeddings: vectors.data.map((item) => item.embedding.length),
    responses_api: (await client.responses.create({ model: "sim-chat", input: "words=4" })).output_text,
    responses_stream: await responsesStream(),
    responses_tools: JSON.parse(
      (await client.responses.create({ model: "sim-chat", input: "weather", tools: [call] })).output[0].arguments,
    ),
    errors: {
      unknown_model: await failing(() => chat("hi", { model: "gpt-9" })),
      parameter: await failing(() => chat("hi", { model: "sim-chat:beta", n: 2 })),
      key: await failing(() => new OpenAI({ baseURL: url, apiKey: "sk-sj-wrong", maxRetries: 0 }).models.list()),
      broken_stream: await failing(async () => drain(await chat("fault=cut", { model: "sim-chat:alpha", stream: true }))),
      broken_response: await failing(async () =>
        drain(await client.responses.create({ model: "sim-chat:alpha", input: "fault=cut", stream: true })),
      ),
    },
  }),
);
