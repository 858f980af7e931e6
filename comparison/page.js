"use strict";

const runTable = document.getElementById("run-table");
const runRows = [...runTable.tBodies[0].rows];
const root = document.documentElement;
root.classList.add("scripted");
for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;

/* Light and dark */

const themeButton = document.getElementById("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
}

function nameTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
}

themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
prefersDark.addEventListener("change", nameTheme);
nameTheme();

/* Sorting: numbers from the highest first, words from A; the third click restores the order of the page */

const ORDERS = { numbers: ["descending", "ascending", "none"], words: ["ascending", "descending", "none"] };
const words = new Intl.Collator(undefined, { numeric: true });

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const orders = ORDERS[header.dataset.type];
      sort(column, orders[(orders.indexOf(header.getAttribute("aria-sort")) + 1) % orders.length]);
    });
  });

  function sort(column, order) {
    for (const header of headers) header.setAttribute("aria-sort", "none");
    headers[column].setAttribute("aria-sort", order);
    table.classList.toggle("sorted", order !== "none");
    body.append(...(order === "none" ? original : sorted(original, column, headers[column].dataset.type, order)));
  }
}

/* What has no value stands last in either order */
function sorted(rows, column, type, order) {
  const value = (row) => {
    const cell = row.cells[column];
    if (type === "words") return cell.textContent === "–" ? null : cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = type === "words" ? words.compare : (one, other) => one - other;
  const sign = order === "ascending" ? 1 : -1;
  return rows
    .map((row) => [value(row), row])
    .sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * compare(one, other);
    })
    .map(([, row]) => row);
}

document.querySelectorAll("table").forEach(makeSortable);

/* Which runs are shown: those of a row of a summary, and of these the ones with all the words of the filter */

const filter = document.getElementById("filter");
const shownCount = document.getElementById("shown");
const selection = document.getElementById("selection");
const texts = new Map(runRows.map((row) => [row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]));
let selected = null;

function showRuns() {
  const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of runRows) {
    const shown = (!selected || selected.has(row.dataset.run)) && wanted.every((word) => texts.get(row).includes(word));
    row.hidden = !shown;
    count += shown;
  }
  shownCount.textContent = `${count} of ${runRows.length}`;
}

function select(runs, name) {
  selected = runs && new Set(runs);
  selection.hidden = !runs;
  selection.textContent = runs ? `only ${name} ✕` : "";
  showRuns();
}

filter.addEventListener("input", showRuns);
selection.addEventListener("click", () => select(null));
for (const link of document.querySelectorAll("a[data-runs]")) {
  link.addEventListener("click", () => {
    filter.value = "";
    select(link.dataset.runs.split(" "), link.textContent);
  });
}
showRuns();

/* One run: its configuration, log and mistakes are packed with gzip in base64 */

const stored = JSON.parse(document.getElementById("stored").textContent);
const dialog = document.getElementById("run");
let configs = null;
let opened = null;

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function configOf(run) {
  if (run.config === null) return "This run stored no configuration.";
  configs ??= JSON.parse(await unpack(stored.configs));
  return configs[run.config];
}

async function fill(id, text, number) {
  const element = document.getElementById(id);
  element.textContent = "…";
  let content;
  try {
    content = await text;
  } catch (error) {
    content = `This browser cannot unpack it: ${error}`;
  }
  if (opened === number) element.textContent = content;
}

/* A run's mistakes: a bar for each class, the most confused pairs, the images */

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bar([name, right, total]) {
  const row = element("div");
  const filled = element("span");
  filled.style.width = `${(100 * right) / total}%`;
  const track = element("span", undefined, "track");
  track.append(filled);
  row.append(element("span", name), track, element("span", `${right} of ${total}`));
  return row;
}

function wrongImage(image) {
  const figure = element("figure");
  if (image.thumbnail !== null) {
    const shown = element("img");
    shown.src = stored.images[image.thumbnail];
    shown.alt = image.path;
    shown.title = image.path;
    figure.append(shown);
  } else {
    figure.append(element("code", image.path));
  }
  figure.append(element("figcaption", `${image.label} → ${image.prediction}, ${(100 * image.probability).toFixed(1)}\u00a0%`));
  return figure;
}

async function showMistakes(packed, number) {
  const place = document.getElementById("run-mistakes");
  place.hidden = true;
  if (packed === null) return;
  const mistakes = JSON.parse(await unpack(packed));
  if (opened !== number) return;
  const lowest = mistakes.classes.length < mistakes.num_classes;
  document.getElementById("run-classes-title").textContent = lowest
    ? `Right answers, the lowest ${mistakes.classes.length} of ${mistakes.num_classes} classes`
    : "Right answers by class";
  document.getElementById("run-classes").replaceChildren(...mistakes.classes.map(bar));
  const pairs = mistakes.pairs.map(([label, prediction, count]) => element("li", `${label} → ${prediction}: ${count}`));
  document.getElementById("run-pairs").replaceChildren(...pairs);
  document.getElementById("run-images").replaceChildren(...mistakes.images.map(wrongImage));
  place.hidden = false;
}

function openRun(number) {
  const run = stored.runs[number];
  opened = number;
  document.getElementById("run-title").textContent = run.title;
  dialog.showModal();
  fill("run-config", configOf(run), number);
  fill("run-log", run.log === null ? Promise.resolve("There is no log.txt in the run's folder.") : unpack(run.log), number);
  showMistakes(run.mistakes, number).catch(() => {}); // a browser that cannot unpack says so in place of the log
}

for (const row of runRows) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "open";
  button.append(...row.cells[0].childNodes);
  row.cells[0].append(button);
}
runTable.tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row && getSelection().isCollapsed) openRun(Number(row.dataset.run));
});
document.getElementById("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // its backdrop
});
