// What the form asks for beside the message: tools, a schema, sampling. Examples to begin with.

const $ = (id) => document.getElementById(id);

const TOOLS = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city",
      parameters: {
        type: "object",
        properties: { city: { type: "string", maxLength: 40 }, unit: { enum: ["celsius", "fahrenheit"] } },
        required: ["city", "unit"],
        additionalProperties: false,
      },
    },
  },
];
const SCHEMA = {
  type: "object",
  properties: { name: { type: "string", maxLength: 40 }, country: { type: "string", maxLength: 40 } },
  required: ["name", "country"],
  additionalProperties: false,
};

export function prepare() {
  $("tools").value = JSON.stringify(TOOLS, null, 2);
  $("schema").value = JSON.stringify(SCHEMA, null, 2);
  for (const choice of document.getElementsByName("how")) choice.addEventListener("change", show);
  show();
}

/** text, tools, required or json. */
export const how = () => document.querySelector("input[name=how]:checked").value;

function show() {
  $("tools-field").hidden = !["tools", "required"].includes(how());
  $("schema-field").hidden = how() !== "json";
}

/** The request's fields, or null where something that was typed is no JSON; then the field says so. */
export function fields() {
  const asked = {};
  for (const [name, id, read] of [["max_tokens", "most", parseInt], ["temperature", "temperature", parseFloat], ["seed", "seed", parseInt]]) {
    if ($(id).value !== "") asked[name] = read($(id).value, 10);
  }
  if (how() === "json") {
    const schema = json("schema");
    if (schema === null) return null;
    asked.response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
  } else if (how() !== "text") {
    const tools = json("tools");
    if (tools === null) return null;
    Object.assign(asked, { tools, tool_choice: how() === "required" ? "required" : "auto" });
  }
  return asked;
}

function json(id) {
  const field = $(id);
  const problem = $(`${id}-problem`);
  let value = null;
  try {
    value = JSON.parse(field.value);
    problem.hidden = true;
  } catch (error) {
    problem.textContent = `No JSON: ${error.message}`;
    problem.hidden = false;
    $("extras").open = true;
    field.focus();
  }
  field.setAttribute("aria-invalid", String(value === null));
  return value;
}
