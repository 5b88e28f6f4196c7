// Makes a page move that works without it: votes and bookmarks without a reload, tallies as they change.
const tools = [...new Set([...document.querySelectorAll("[data-tally]")].map((node) => node.dataset.tally))];
const shares = [...new Set([...document.querySelectorAll("[data-share]")].map((node) => node.dataset.share))];
const followed = [...new Set([...tools, ...shares])].slice(0, 50);
const seen = new Map();
document.documentElement.classList.add("js");

const percent = (share) => `${Math.round(share * 100)}%`;
const svg = (name, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

function axis(tally) {
  const line = (x1, x2, y1, y2, kind, more = {}) => svg("line", { x1, x2, y1, y2, class: kind, ...more });
  const drawn = svg("svg", { class: "ax", height: 22, "aria-hidden": "true" });
  if (tally.share === null) {
    drawn.append(line("0", "100%", 11, 11, "k", { "stroke-dasharray": "2 4" }));
    return drawn;
  }
  drawn.append(
    line("0", "100%", 11, 11, "k"), line("0", "0", 5, 17, "k"), line("50%", "50%", 7, 15, "k"), line("100%", "100%", 5, 17, "k"),
  );
  const at = (value) => `${value * 100}%`;
  if (tally.interval) drawn.append(line(at(tally.interval.low), at(tally.interval.high), 11, 11, "i"));
  drawn.append(svg("circle", { cx: at(tally.share), cy: 11, r: 6 }));
  return drawn;
}

function sentence(tally, minimum) {
  const note = Object.assign(document.createElement("p"), { className: "note" });
  const votes = tally.ship + tally.skip;
  const strong = document.createElement("b");
  note.append(strong);
  const word = votes === 1 ? "vote" : "votes";
  const held = tally.held ? ` ${tally.held} ${tally.share === null ? "held" : "more held"} for review.` : "";
  if (tally.share !== null) {
    strong.textContent = `${tally.ship} ship`;
    const span = tally.interval ? `, interval ${Math.round(tally.interval.low * 100)}–${Math.round(tally.interval.high * 100)} %` : "";
    note.append(` of ${votes} votes${span}.${held} `);
    note.append(Object.assign(document.createElement("a"), { href: `/votes/${tally.tool_id}/log`, textContent: "Vote log" }));
    return note;
  }
  strong.textContent = votes ? `${tally.ship} ship` : "No community votes yet.";
  note.append(`${votes ? ` of ${votes} ${word}.` : ""} A share is shown from ${minimum} votes on.${held}`);
  return note;
}

function showTally(tally) {
  const before = seen.get(tally.tool_id) ?? -1;
  if (tally.version < before) return;
  seen.set(tally.tool_id, tally.version);
  for (const node of document.querySelectorAll(`[data-tally="${tally.tool_id}"]`)) {
    if (Number(node.dataset.version) > tally.version) continue;
    if (node.dataset.live && Number(node.dataset.version) === tally.version) continue;
    node.dataset.version = tally.version;
    node.dataset.live = "yes";
    node.replaceChildren(axis(tally), sentence(tally, node.dataset.minimum));
  }
  for (const node of document.querySelectorAll(`[data-share="${tally.tool_id}"]`)) {
    node.textContent = tally.share === null ? "—" : percent(tally.share);
  }
}

function showMine(form, mine) {
  for (const button of form.querySelectorAll("[name=verdict][aria-pressed]")) {
    button.setAttribute("aria-pressed", String(mine?.vote === button.value));
  }
}

async function vote(form, verdict) {
  const status = form.querySelector("[role=status]");
  const address = `/votes/${form.dataset.tool}`;
  const request = verdict === "withdraw"
    ? { method: "DELETE" }
    : { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ verdict }) };
  try {
    const answer = await fetch(address, request);
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.detail);
    showMine(form, said.my_vote);
    showTally(said);
    const held = said.my_vote?.state === "held" ? " It is held for review." : "";
    status.textContent = said.my_vote ? `Your vote: ${said.my_vote.vote}.${held}` : "Your vote is taken back.";
  } catch (error) {
    status.textContent = error.message || "The vote could not be sent. Try again.";
  }
}

async function bookmark(button, tool) {
  const kept = button.getAttribute("aria-pressed") === "true";
  const answer = await fetch(`/bookmarks/${tool}`, { method: kept ? "DELETE" : "PUT" });
  if (answer.ok) await showBookmarks();
}

async function showBookmarks() {
  const answer = await fetch("/bookmarks.json");
  if (!answer.ok) return;
  const kept = (await answer.json()).tools;
  const ids = new Set(kept.map((tool) => tool.tool_id));
  for (const form of document.querySelectorAll("form.vote")) {
    const button = form.querySelector(".bm");
    const on = ids.has(form.dataset.tool);
    button.setAttribute("aria-pressed", String(on));
    button.querySelector("span").textContent = on ? "Bookmarked" : "Bookmark";
  }
  for (const box of document.querySelectorAll("[data-bookmarks]")) {
    const [heading, ...rest] = box.children;
    box.dataset.empty ??= rest[0].textContent;
    const list = document.createElement(kept.length ? "ul" : "p");
    list.className = kept.length ? "plainlist" : "";
    if (!kept.length) list.textContent = box.dataset.empty;
    for (const tool of kept.slice(0, 8)) {
      const link = Object.assign(document.createElement("a"), { href: `/tools/${tool.slug}`, textContent: tool.name });
      list.appendChild(document.createElement("li")).append(link);
    }
    box.replaceChildren(heading, list, rest.at(-1));
  }
  for (const box of document.querySelectorAll("[data-bookmarked]")) {
    box.hidden = !kept.length;
    for (const tool of kept) {
      const label = document.createElement("label");
      const check = Object.assign(document.createElement("input"), { type: "checkbox", name: "tools", value: tool.tool_id, checked: true });
      label.append(check, ` ${tool.name}`);
      box.append(label);
    }
  }
}

for (const form of document.querySelectorAll("form.vote")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (button.classList.contains("bm")) return bookmark(button, form.dataset.tool);
    const again = button.getAttribute("aria-pressed") === "true";
    return vote(form, again ? "withdraw" : button.value);
  });
  fetch(`/votes/${form.dataset.tool}`)
    .then((answer) => (answer.ok ? answer.json() : null))
    .then((said) => said && (showMine(form, said.my_vote), showTally(said)))
    .catch(() => {});
}
if (document.querySelector("form.vote, [data-bookmarks], [data-bookmarked]")) showBookmarks().catch(() => {});
for (const zone of document.querySelectorAll("#zone")) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || zone.value;

// EventSource reconnects by itself; each connect begins with the present tallies.
if (followed.length) {
  const stream = new EventSource(`/votes/stream?tools=${followed.join(",")}`);
  stream.addEventListener("tally", (event) => showTally(JSON.parse(event.data)));
  addEventListener("pagehide", () => stream.close());
}
for (const node of document.querySelectorAll("details.rev:target, details.rev :target")) node.closest("details").open = true;
