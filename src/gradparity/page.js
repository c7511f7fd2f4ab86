"use strict";

// What the page shows is `data`, made by page.py: groups of rows, a group being one function in one column (a framework,
// its version and mode) and dtype. All text enters the document as text; nothing is ever parsed as HTML.

// From bad to good: sign, words for one, words for several.
const STATUSES = {
  fail: ["✗", "failure", "failures"], error: ["!", "error", "errors"],
  xpass: ["?", "unexpected pass", "unexpected passes"], xfail: ["~", "known failure", "known failures"],
  unsupported: ["–", "unsupported", "unsupported"], pass: ["✓", "pass", "passes"],
};
const NAMES = Object.keys(STATUSES);
const BAD = ["fail", "error", "xpass"];
const PASS = NAMES.indexOf("pass");
const MEASURED = [NAMES.indexOf("fail"), PASS];
const CHANGES = { regressed: "regressed", gone: "gone", new: "new", bits: "other bits, no worse", improved: "improved", fixed: "fixed", before: "before the change" };
const BUCKETS = ["", ...Object.keys(CHANGES)];
// What a cell says of the rows that are not as they were: sign, class, words, their buckets.
const MOVES = [["↓", "bad-text", "worse than before", ["regressed", "gone"]], ["↑", "good-text", "better than before", ["improved", "fixed"]]];
const LOWEST = -6, HIGHEST = 2; // powers of ten of the histogram
const BINS = 2 * (HIGHEST - LOWEST) + 2; // half powers, one bin below them and one above
const BOUND = 2 * -LOWEST + 1; // the bins before this one are within the bound
const CHUNK = 200; // rows that are added to the document at a time

let data, columns, groups;
const $ = (id) => document.getElementById(id);

// --- making elements

function el(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG.has(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const SVG = new Set(["svg", "path", "line", "text"]);

function option(value, words) {
  return el("option", { value }, words);
}

function lazy(summary, build, attributes = {}) {
  const made = el("details", attributes, summary);
  const fill = () => made.childElementCount > 1 || made.append(...[build()].flat());
  made.addEventListener("toggle", () => made.open && fill());
  if (made.open) fill();
  return made;
}

function inChunks(rows, build, into) {
  const more = el("button", { type: "button" });
  let at = 0;
  const add = () => {
    const next = rows.slice(at, (at += CHUNK)).map(build);
    into.append(...next);
    more.textContent = `Show more (${(rows.length - at).toLocaleString("en")} are left)`;
    if (at >= rows.length) more.remove();
    return next;
  };
  more.addEventListener("click", () => add()[0].querySelector("summary, th")?.focus());
  add();
  return at < rows.length ? [into, more] : [into];
}

// --- the data

async function decoded() {
  const packed = atob($("data").textContent);
  const bytes = new Uint8Array(packed.length);
  for (let k = 0; k < packed.length; k++) bytes[k] = packed.charCodeAt(k);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}

function unpack(group) {
  const errors = Float64Array.from(group.errors, (x) => (x === null ? NaN : Number(x)));
  const changed = new Uint8Array(errors.length);
  for (const [k, bucket] of Object.entries(group.changed)) changed[k] = BUCKETS.indexOf(bucket);
  const column = columns[group.column];
  const prefix = [group.op, group.api, column.mode, column.device, group.dtype, ""].join("/");
  return { ...group, errors, changed, prefix, statuses: Uint8Array.from(group.statuses), places: Uint32Array.from(group.places) };
}

const identity = (group, k) => group.prefix + data.places[group.places[k]];
const isShare = (place) => place.split("/").pop().split(".").includes("misrounded");

// --- which rows are shown

function filters() {
  const form = new FormData($("filters"));
  const status = form.get("status");
  return {
    op: form.get("op"), framework: form.get("framework"), sort: form.get("sort"), differences: form.has("differences"),
    status: NAMES.indexOf(status), bucket: Math.max(0, BUCKETS.indexOf(status)),
    words: form.get("text").toLowerCase().split(/\s+/).filter(Boolean).map(matcher),
  };
}

// A word is looked for in the identity and in what is said of the row: whole groups and places first, once for all rows.
function matcher(word) {
  return { word, places: data.lowerPlaces.map((place) => place.includes(word)), across: word.includes("/") };
}

function has(group, k, { word, places, across }) {
  return places[group.places[k]]
    || (across && (group.lowerPrefix + data.lowerPlaces[group.places[k]]).includes(word))
    || Boolean(group.details[k] && said(group, k).includes(word));
}

function said(group, k) {
  group.said ??= {};
  return (group.said[k] ??= Object.values(group.details[k]).join("\n").toLowerCase());
}

function chosen(group, wanted) {
  const column = columns[group.column];
  if ((wanted.op && group.op !== wanted.op) || (wanted.framework && column.framework !== wanted.framework)) return [];
  const head = `${group.lowerPrefix} ${column.label.toLowerCase()}`;
  const open = wanted.words.filter(({ word }) => !head.includes(word));
  const found = [];
  for (let k = 0; k < group.statuses.length; k++) {
    if (wanted.status >= 0 && group.statuses[k] !== wanted.status) continue;
    if (wanted.bucket && group.changed[k] !== wanted.bucket) continue;
    if (wanted.differences && !group.changed[k]) continue;
    if (open.every((word) => has(group, k, word))) found.push(k);
  }
  return found;
}

// --- what they sum up to

const empty = () => ({ counts: new Uint32Array(NAMES.length), changes: new Uint32Array(BUCKETS.length), worst: NaN, bins: new Uint32Array(BINS) });

function bin(error) {
  if (error === 0) return 0;
  return Math.min(Math.max(Math.ceil(2 * (Math.log10(error) - LOWEST)), 0), BINS - 1);
}

function summed(group, rows) {
  const sum = empty();
  for (const k of rows) {
    const error = group.errors[k];
    sum.counts[group.statuses[k]]++;
    sum.changes[group.changed[k]]++;
    if (Number.isNaN(error) || data.shares[group.places[k]] || !MEASURED.includes(group.statuses[k])) continue;
    sum.bins[bin(error)]++;
    if (!(error <= sum.worst)) sum.worst = error;
  }
  return sum;
}

// The sum of several parts [group, rows, sum].
function total(parts) {
  const whole = empty();
  for (const [, , sum] of parts) {
    for (const name of ["counts", "changes", "bins"]) sum[name].forEach((n, k) => (whole[name][k] += n));
    if (!(sum.worst <= whole.worst) && !Number.isNaN(sum.worst)) whole.worst = sum.worst;
  }
  return whole;
}

function level(counts) {
  if (BAD.some((status) => counts[NAMES.indexOf(status)])) return "bad";
  if (counts[NAMES.indexOf("xfail")]) return "known";
  return counts[PASS] ? "good" : "none";
}

// --- in words and numbers

function short(x) {
  if (Number.isNaN(x)) return "–";
  if (x === Infinity) return "∞";
  return x === 0 ? "0" : x >= 0.01 && x < 1000 ? String(Number(x.toPrecision(3))) : x.toExponential(0).replace("e+", "e");
}

const shortened = (dtype) => dtype.replace("bfloat", "bf").replace("float", "f");
const plural = (n, one, several) => `${n.toLocaleString("en")} ${n === 1 ? one : several}`;

function inWords(sum) {
  const parts = NAMES.flatMap((name, k) => (sum.counts[k] ? [plural(sum.counts[k], STATUSES[name][1], STATUSES[name][2])] : []));
  const changes = BUCKETS.flatMap((name, k) => (k && sum.changes[k] ? [`${sum.changes[k]} ${CHANGES[name]}`] : []));
  const worst = Number.isNaN(sum.worst) ? [] : [`largest error ${short(sum.worst)} of its bound`];
  return [...parts, ...changes, ...worst].join(", ");
}

function signs(sum) {
  const counted = [...NAMES.map((name, k) => [STATUSES[name][0], name, sum.counts[k]]), ...MOVES.map(([sign, look, , buckets]) => [sign, look, moved(sum, buckets)])];
  return counted.flatMap(([sign, look, n]) => (n ? [el("span", { class: look }, `${sign}${n}`), " "] : []));
}

function moved(sum, buckets) {
  return buckets.reduce((n, bucket) => n + sum.changes[BUCKETS.indexOf(bucket)], 0);
}

// --- the histogram

function histogram(bins, name, labelled) {
  const width = 10, height = labelled ? 80 : 24, foot = labelled ? 16 : 0, highest = Math.max(...bins);
  const bars = (from, to) => Array.from(bins.slice(from, to), (n, k) => {
    const tall = n ? Math.max((n / highest) * height, 1.5) : 0;
    return n ? `M${(from + k) * width + 1} ${height}v${-tall}h${width - 2}v${tall}z` : "";
  }).join("");
  const drawn = el("svg", { viewBox: `0 0 ${BINS * width} ${height + foot}`, ...(labelled ? { role: "img", "aria-label": name } : { "aria-hidden": "true", preserveAspectRatio: "none" }) },
    el("path", { class: "bar", d: bars(0, BOUND) }), el("path", { class: "over", d: bars(BOUND, BINS) }),
    el("line", { class: "axis", x1: 0, x2: BINS * width, y1: height, y2: height }),
    el("line", { class: "bound", x1: BOUND * width, x2: BOUND * width, y1: 0, y2: height }));
  if (labelled) drawn.append(...ticks(width, height + 12));
  return drawn;
}

function ticks(width, y) {
  const marks = [[0.5, "0"], [BOUND, "bound"], [BINS - 0.5, "∞"]];
  for (const power of [-4, -2]) marks.push([2 * (power - LOWEST) + 1, `1e${power}`]);
  return marks.map(([bin, words]) => el("text", { x: bin * width, y, "text-anchor": "middle" }, words));
}

// --- the matrix

let shown = new Map(); // op -> column -> [[group, rows, sum]]

function draw() {
  const wanted = filters();
  shown = new Map();
  let rows = 0;
  for (const group of groups) {
    const found = chosen(group, wanted);
    if (!found.length) continue;
    rows += found.length;
    const ofOp = shown.get(group.op) ?? shown.set(group.op, new Map()).get(group.op);
    const cell = ofOp.get(group.column) ?? ofOp.set(group.column, []).get(group.column);
    cell.push([group, found, summed(group, found)]);
  }
  const used = columns.filter((column, k) => [...shown.values()].some((ofOp) => ofOp.has(k)));
  $("cells").replaceChildren(...(rows ? [head(used), body(used, wanted.sort)] : []));
  $("count").textContent = `${rows.toLocaleString("en")} of ${plural(data.rows, "row", "rows")}, ${shown.size} of ${plural(data.ops.length, "operation", "operations")}` + (rows ? "" : ": nothing matches these filters");
}

function head(used) {
  const names = used.map((column) => {
    const lines = [column.framework, column.version, column.mode + (column.device === "cpu" ? "" : ` ${column.device}`), column.name];
    return el("th", { scope: "col", role: "columnheader" }, ...lines.filter(Boolean).flatMap((line, k) => (k ? [el("br"), line] : [line])));
  });
  return el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, el("th", { scope: "col", role: "columnheader" }, "Operation"), ...names));
}

function body(used, sort) {
  const sums = new Map([...shown].map(([op, ofOp]) => [op, new Map([...ofOp].map(([column, cell]) => [column, total(cell)]))]));
  const ops = [...shown.keys()];
  if (sort === "worst") ops.sort((a, b) => worse(b, a, sums) || (a < b ? -1 : 1));
  return el("tbody", { role: "rowgroup" }, ...ops.map((op) => el("tr", { role: "row" },
    el("th", { scope: "row", role: "rowheader" }, ...op.split(/(?<=_)/).flatMap((part) => [part, el("wbr")])),
    ...used.map((column) => cellOf(op, column, sums.get(op).get(columns.indexOf(column)))))));
}

// By whether something is bad, then by the largest error.
function worse(a, b, sums) {
  const [one, other] = [a, b].map((op) => [...sums.get(op).values()]);
  const bad = (cells) => Number(cells.some(({ counts }) => level(counts) === "bad"));
  const worst = (cells) => Math.max(...cells.map(({ worst }) => (Number.isNaN(worst) ? -1 : worst)));
  return bad(one) - bad(other) || (worst(one) > worst(other)) - (worst(one) < worst(other));
}

function cellOf(op, column, sum) {
  const attributes = { role: "cell", "data-column": column.label };
  if (!sum) return el("td", { ...attributes, class: "none" }, el("span", { "aria-hidden": "true" }, "–"));
  const button = el("button", { type: "button", class: `cell ${level(sum.counts)}`, "aria-haspopup": "dialog", "aria-label": `${op}, ${column.label}: ${inWords(sum)}` },
    lines(shown.get(op).get(columns.indexOf(column))), histogram(sum.bins, "", false));
  button.addEventListener("click", () => openDetail(op, column, sum));
  return el("td", attributes, button);
}

function lines(cell) {
  const byDtype = Map.groupBy(cell, ([group]) => group.dtype);
  return el("span", { class: "lines" }, ...[...byDtype].flatMap(([dtype, parts]) => {
    const sum = total(parts);
    return [el("span", {}, shortened(dtype)), el("span", {}, ...signs(sum)), el("span", { class: sum.worst > 1 ? "bad-text" : "" }, short(sum.worst))];
  }));
}

function arrows(event) {
  const at = event.target.closest("td"), step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  if (!at || !step) return;
  event.preventDefault();
  const rows = [...$("cells").tBodies[0].rows];
  let y = rows.indexOf(at.parentElement) + step[0], x = at.cellIndex + step[1];
  while (rows[y]?.cells[x] && !rows[y].cells[x].querySelector("button")) [y, x] = [y + step[0], x + step[1]];
  rows[y]?.cells[x]?.querySelector("button")?.focus();
}

// --- one cell, opened

function openDetail(op, column, sum) {
  const cell = shown.get(op).get(columns.indexOf(column));
  const byApi = Map.groupBy(cell, ([group]) => group.api);
  const title = `${op}, ${column.label}`;
  $("detail-title").textContent = title;
  $("detail-body").replaceChildren(el("p", {}, `${inWords(sum)}.`),
    histogram(sum.bins, `Errors of ${title}, as fractions of their bounds: ${within(sum.bins)}`, true),
    el("p", { class: "dim" }, "Errors as fractions of their bounds, on a logarithmic axis."), ...[...byApi].flatMap(apiOf));
  $("detail").showModal();
  $("detail").scrollTop = 0;
  $("detail-title").focus();
}

function within(bins) {
  const some = (from, to) => bins.slice(from, to).reduce((a, b) => a + b, 0);
  return `${some(0, BOUND)} within the bound, ${some(BOUND, BINS)} beyond it`;
}

function apiOf([api, parts]) {
  return [el("h3", { class: "mono" }, api), ...parts.map(dtypeOf)];
}

function dtypeOf([group, rows, sum]) {
  const notable = rows.filter((k) => group.statuses[k] !== PASS || group.changed[k]).sort((a, b) => severity(group, a) - severity(group, b));
  const plain = rows.filter((k) => group.statuses[k] === PASS && !group.changed[k]);
  const summary = el("summary", {}, `${group.dtype} `, ...signs(sum), el("span", { class: "dim" }, `largest error ${short(sum.worst)}`));
  return lazy(summary, () => [
    ...(group.declares ? [el("p", { class: "dim" }, `Declares ${group.declares}`)] : []),
    ...(notable.length ? inChunks(notable, (k) => notableOf(group, k), el("div")) : []),
    ...(plain.length ? [lazy(el("summary", {}, `${plural(plain.length, "plain pass", "plain passes")}: cases and errors`), () => plainOf(group, plain))] : []),
  ], level(sum.counts) === "good" && !notable.length ? {} : { open: "" });
}

function severity(group, k) {
  return group.statuses[k] * 10 + (group.changed[k] || 9);
}

function plainOf(group, rows) {
  const into = el("tbody");
  const ordered = [...rows].sort((a, b) => (group.errors[b] || 0) - (group.errors[a] || 0));
  const found = inChunks(ordered, (k) => el("tr", {}, el("th", { scope: "row" }, data.places[group.places[k]]), el("td", {}, short(group.errors[k]))), into);
  const heads = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "case/check"), el("th", { scope: "col" }, "error")));
  return [el("table", { class: "plain" }, heads, into), ...found.slice(1)];
}

function notableOf(group, k) {
  const name = NAMES[group.statuses[k]], bucket = BUCKETS[group.changed[k]];
  const tags = bucket ? [" ", el("span", { class: `tag ${["regressed", "gone"].includes(bucket) ? "bad-text" : ""}` }, CHANGES[bucket])] : [];
  const detail = group.details[k] ?? {};
  return lazy(el("summary", {}, el("span", { class: name }, `${STATUSES[name][0]} ${STATUSES[name][1]}`), ` ${data.places[group.places[k]]} `,
    el("span", { class: "dim" }, Number.isNaN(group.errors[k]) ? detail.reason ?? "" : `error ${short(group.errors[k])}`), ...tags),
  () => detailOf(group, k, detail));
}

const FIELDS = {
  change: "Change", message: "What is wrong", reason: "Reason", want: "Expected", got: "Got", at: "At element", error: "Error / bound",
  ulp: "Error in ulp", unbounded: "Elements without a bound", precision: "Precision", conventions: "Conventions", road: "Formula", exception: "Exception",
};

function detailOf(group, k, detail) {
  const shownFields = { error: short(group.errors[k]), ...detail };
  const list = el("dl");
  for (const [name, words] of Object.entries(FIELDS)) {
    if (shownFields[name]) list.append(el("dt", {}, words), el("dd", {}, shownFields[name]));
  }
  list.append(el("dt", {}, "Row"), el("dd", { class: "mono" }, identity(group, k)));
  if (detail.link) list.append(el("dt", {}, "Link"), el("dd", {}, linked(detail.link)));
  const cut = group.details[k] ? [] : [el("p", { class: "note" }, "There are too many rows like this one: the run file has what is known of it.")];
  return el("div", { class: "detail" }, ...cut, list, ...programOf(group, k, detail));
}

function linked(link) {
  return /^https?:\/\//i.test(link) ? el("a", { href: link, rel: "noreferrer noopener" }, link) : link;
}

function programOf(group, k, detail) {
  if (NAMES[group.statuses[k]] === "unsupported") return [];
  const seed = columns[group.column].seed;
  const command = `gradparity snippet '${identity(group, k).replaceAll("'", "'\\''")}'` + (seed ? ` --seed ${seed}` : "");
  const found = [el("p", {}, "A program that shows it, its input included, cut down where that is possible:"), ...copied(command, "command")];
  return detail.program ? [el("p", {}, "A program of NumPy and the framework alone that shows it, its input included:"), ...copied(detail.program, "program"), ...found] : found;
}

function copied(text, what) {
  const pre = el("pre", { tabindex: "0", "aria-label": what }, text), button = el("button", { type: "button" }, `Copy the ${what}`), done = el("span", { role: "status" });
  button.addEventListener("click", async () => {
    done.textContent = await copy(text, pre);
  });
  return [pre, button, " ", done];
}

async function copy(text, pre) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied.";
  } catch {
    getSelection().selectAllChildren(pre);
    return "Selected: copy it with the keyboard.";
  }
}

// --- the pages

function turn() {
  const sections = [...document.querySelectorAll("main > section")];
  const current = sections.find((section) => `#${section.id}` === location.hash) ?? sections[0];
  for (const section of sections) section.hidden = section !== current && section.id !== "runs";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${current.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// --- the start

function choices() {
  const form = $("filters").elements, all = total(groups.map((group) => [group, null, summed(group, group.statuses.keys())]));
  form.op.append(...data.ops.map((op) => option(op, op)));
  form.framework.append(...[...new Set(columns.map((column) => column.framework))].map((name) => option(name, name)));
  form.status.append(...NAMES.filter((name, k) => all.counts[k]).map((name) => option(name, STATUSES[name][1])));
  form.status.append(...BUCKETS.filter((name, k) => k && all.changes[k]).map((name) => option(name, CHANGES[name])));
}

function legend() {
  const all = [...NAMES.map((name) => [STATUSES[name][0], name, STATUSES[name][1]]), ...($("filters").elements.differences ? MOVES : [])];
  $("legend").append(...all.flatMap(([sign, look, words]) => [el("span", { class: look }, `${sign} ${words}`), "\u2003"]),
    "Bars: how large the errors are, on a logarithmic axis; the dashed line is the bound.");
}

async function start() {
  turn();
  addEventListener("hashchange", turn);
  data = await decoded();
  columns = data.columns;
  data.lowerPlaces = data.places.map((place) => place.toLowerCase());
  data.shares = data.places.map(isShare);
  groups = data.groups.map(unpack);
  for (const group of groups) group.lowerPrefix = group.prefix.toLowerCase();
  choices();
  legend();
  draw();
  $("filters").addEventListener("input", draw);
  $("filters").addEventListener("reset", () => setTimeout(draw));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("cells").addEventListener("keydown", arrows);
  $("close").addEventListener("click", () => $("detail").close());
  document.body.dataset.ready = "";
}

start();
