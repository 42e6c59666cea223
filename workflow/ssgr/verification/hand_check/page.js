"use strict";
// One verdict at a time; labels are kept in this browser under the sample's digest. Everything a
// model wrote is set as text, never as markup. The intervals are looked up, not computed.
const at = (id) => document.getElementById(id);
const page = JSON.parse(at("sample").textContent);
const limits = JSON.parse(at("limits").textContent); // {strata combined: [n][k] upper limit}
const digest = at("sample").dataset.digest;
const key = `ssgr hand check ${digest}`;
const KEYS = { r: "right", w: "wrong", u: "unsure" };
const ASKED = {
  correct: "It was accepted: the answer counts as the gold. Is that right?",
  wrong: "It was rejected: the answer counts as another than the gold. Is that right?",
  "no-answer": "No answer was found, which counts as wrong. Is that right?",
  "timed-out": "Comparing them took too long, which counts as wrong. Is that right?",
  "unparsable-gold": "The gold could not be read, which counts as wrong. Is that right?",
};
const side = (item) => (item.verdict === "correct" ? "accepted" : "rejected");
const SIDES = ["accepted", "rejected"].filter((name) => page.population.some((c) => side(c) === name));
const GROUPS = SIDES.length > 1 ? ["all", ...SIDES] : SIDES;

let kept = { labels: {}, current: 0 };
function load() {
  try {
    const found = JSON.parse(localStorage.getItem(key));
    if (found) kept = found;
  } catch {
    at("unkept").hidden = false;
  }
}
function keep() {
  try {
    localStorage.setItem(key, JSON.stringify(kept));
  } catch {
    at("unkept").hidden = false;
  }
}

// What was passed over before the last label counts as unsure.
function counted() {
  const last = Math.max(-1, ...Object.keys(kept.labels).map(Number));
  return page.items.slice(0, last + 1).map((item, i) => [item, kept.labels[i] ?? "unsure"]);
}

function strata(group) {
  const names = page.stratified ? SIDES.filter((name) => group === "all" || name === group) : [group];
  return names.map((name) => {
    const inside = (item) => name === "all" || side(item) === name;
    const labels = counted().filter(([item]) => inside(item)).map(([, label]) => label);
    const count = (label) => labels.filter((one) => one === label).length;
    return {
      population: page.population.filter(inside).reduce((sum, cell) => sum + cell.count, 0),
      n: labels.length,
      wrong: count("wrong"),
      unsure: count("unsure"),
    };
  });
}

// As ssgr.verification.hand_check.intervals.rate.
function rate(parts) {
  const total = parts.reduce((sum, one) => sum + one.population, 0);
  const found = { estimate: 0, low: 0, high: 0 };
  for (const one of parts) {
    const weight = one.population / total;
    const upper = limits[parts.length][one.n];
    found.low += weight * (1 - upper[one.n - one.wrong]);
    found.high += weight * upper[one.wrong + one.unsure];
    found.estimate += (weight * one.wrong) / (one.n - one.unsure); // NaN: nothing is decided
  }
  return found;
}

const percent = (share) => (100 * share).toFixed(1);

// Characters that cannot be seen are named: they may be why a verdict is wrong.
function seen(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/gu, (one) =>
    one === "\n" || one === "\t" ? one : `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function write(id, text) {
  at(id).textContent = seen(text);
}

function made(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function showRates() {
  at("rates").replaceChildren(...GROUPS.map((group) => {
    const parts = strata(group);
    const sum = (name) => parts.reduce((total, one) => total + one[name], 0);
    const { estimate, low, high } = rate(parts);
    const row = document.createElement("tr");
    const cells = [group, sum("n"), sum("wrong"), sum("unsure"),
      Number.isFinite(estimate) ? `${percent(estimate)} %` : "–"];
    row.dataset.group = group;
    row.append(...cells.map((text, i) => made(i ? "td" : "th", text)));
    row.lastChild.append(made("small", `${percent(low)} – ${percent(high)} %`));
    return row;
  }));
}

function showMap() {
  const map = at("map");
  [...map.children].forEach((square, i) => {
    const label = kept.labels[i];
    square.className = label ?? "";
    square.title = `${i + 1}: ${label ?? "not labelled"}`;
    square.setAttribute("aria-label", square.title);
    if (i === kept.current) square.setAttribute("aria-current", "true");
    else square.removeAttribute("aria-current");
  });
  map.scrollTop = map.children[kept.current].offsetTop - map.clientHeight / 2;
  at("download").classList.toggle("done", Object.keys(kept.labels).length === page.items.length);
}

function showItem() {
  const item = page.items[kept.current];
  const many = (count) => `[… ${count.toLocaleString("en")} characters …]`;
  write("number", `${kept.current + 1} of ${page.items.length}`);
  write("verdict", item.verdict);
  at("verdict").className = `verdict ${side(item)}`;
  write("method", `by ${item.method}`);
  write("asked", ASKED[item.verdict]);
  write("gold", item.gold);
  write("answer", item.answer ?? "none");
  at("answer").classList.toggle("none", item.answer === null);
  write("question", item.question);
  write("cut-before", item.cut_before ? `${many(item.cut_before)}\n` : "");
  for (const part of ["before", "marked", "after"]) write(part, item[part]);
  write("cut-after", item.cut_after ? `\n${many(item.cut_after)}` : "");
  write("source", `sample ${item.sample} of problem ${item.problem_id}`);
  const box = at("response");
  box.scrollTop = item.marked ? at("marked").offsetTop - box.clientHeight / 2 : box.scrollHeight;
  at("question").scrollTop = 0;
  for (const button of document.querySelectorAll("[data-label]")) {
    button.setAttribute("aria-pressed", String(kept.labels[kept.current] === button.dataset.label));
  }
}

function show() {
  showRates();
  showMap();
  showItem();
}

function go(place) {
  kept.current = Math.min(Math.max(place, 0), page.items.length - 1);
  keep();
  show();
  if (at("item").getBoundingClientRect().top < 0) at("item").scrollIntoView();
}

function label(name) {
  kept.labels[kept.current] = name;
  go(kept.current + 1);
}

function labelsFile() {
  const labels = Object.keys(kept.labels).map(Number).sort((a, b) => a - b).map((i) => ({
    number: i + 1,
    problem_id: page.items[i].problem_id,
    sample: page.items[i].sample,
    label: kept.labels[i],
  }));
  return `${JSON.stringify({ sample_digest: digest, labels }, null, 1)}\n`;
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([labelsFile()], { type: "application/json" }));
  link.download = `labels-${digest}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

page.items.forEach((_, i) => {
  const square = document.createElement("button");
  square.type = "button";
  square.addEventListener("click", () => go(i));
  at("map").append(square);
});
for (const button of document.querySelectorAll("[data-label]")) {
  button.addEventListener("click", () => label(button.dataset.label));
}
at("back").addEventListener("click", () => go(kept.current - 1));
at("next").addEventListener("click", () => go(kept.current + 1));
at("download").addEventListener("click", download);
at("clear").addEventListener("click", () => {
  if (!confirm("Delete all labels of this page?")) return;
  kept = { labels: {}, current: 0 };
  go(0);
});
document.addEventListener("keydown", (event) => {
  const name = KEYS[event.key.toLowerCase()];
  if (event.ctrlKey || event.metaKey || event.altKey || (name && event.repeat)) return;
  if (name) label(name);
  else if (event.key === "ArrowRight") go(kept.current + 1);
  else if (event.key === "ArrowLeft") go(kept.current - 1);
  else return;
  event.preventDefault();
});
load();
show();
