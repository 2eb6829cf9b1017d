"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const narrow = () => window.innerWidth < 640;
const page = { rows: narrow() ? 25 : 100, step: 200, sort: null, descending: true };
const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

let against = "step";
function resolved(trace, curve = trace.curve) {
  if (curve === undefined) return trace;
  const x = data.curves[curve]?.[against] ?? [];
  const y = data.curves[curve]?.[trace.measure] ?? [];
  const hovertemplate = `${trace.measure.replaceAll("_", " ")} %{y:.3g} at ${against} %{x}`;
  return { ...trace, type: "scatter", x, y, hovertemplate, mode: x.length > 1 ? "lines" : "markers" };
}

function draw(box) {
  if (box.dataset.drawn || box.offsetParent === null) return;
  box.dataset.drawn = "yes";
  const { data: traces, layout: whole, note } = data.charts[Number(box.dataset.chart)];
  const layout = structuredClone(whole);
  const named = traces.filter((trace) => trace.name && trace.showlegend !== false).length;
  if (narrow()) {
    layout.margin = { ...layout.margin, l: 40, r: 4 };
    if (named > 1) layout.height += 18 * named;
  }
  layout.dragmode = narrow() ? false : "zoom";
  if (traces.some((trace) => trace.curve !== undefined)) layout.xaxis.title.text = against;
  if (box.nextElementSibling?.classList.contains("below")) box.nextElementSibling.textContent = note ?? "";
  Plotly.newPlot(box, traces.map((trace) => resolved(trace)), layout, config);
}

function redraw(box) {
  delete box.dataset.drawn;
  draw(box);
}
document.querySelectorAll("select.choice").forEach((select) => select.addEventListener("change", () => {
  const name = select.selectedOptions[0].textContent;
  document.querySelectorAll("select.choice").forEach((other) => {  // a cell that is chosen once is chosen everywhere
    const option = [...other.options].find((one) => one.textContent === name);
    if (!option) return;
    other.value = option.value;
    const box = other.closest(".choices").nextElementSibling;
    box.dataset.chart = option.value;
    redraw(box);
  });
}));
document.querySelectorAll("select.against").forEach((select) => select.addEventListener("change", () => {
  against = select.value;
  document.querySelectorAll("select.against").forEach((other) => {
    other.value = against;
    redraw(other.closest(".choices").nextElementSibling);
  });
}));

const boxes = () => [...document.querySelectorAll(".chart[data-chart]")];
const watcher = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: "800px" },
);
boxes().forEach((box) => watcher.observe(box));
const PRINT_WIDTH = 660;
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  boxes().forEach((box) => { draw(box); if (box.dataset.drawn) Plotly.relayout(box, { width: PRINT_WIDTH }); });
});
window.addEventListener("afterprint", () =>
  boxes().forEach((box) => { if (box.dataset.drawn) Plotly.relayout(box, { width: null, autosize: true }); }));

const numeric = (text) => {
  const found = /^\s*-?[\d.,]+(e-?\d+)?/.exec(String(text));
  return found ? Number(found[0].replaceAll(",", "")) : NaN;
};
function compare(a, b) {
  const [x, y] = [numeric(a), numeric(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return String(a).localeCompare(String(b));
}

document.querySelectorAll("table.sortable").forEach((table) => {
  table.querySelectorAll("th").forEach((heading, column) => heading.addEventListener("click", () => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(a.cells[column].textContent, b.cells[column].textContent) * (descending ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
});

const { columns, rows, total } = data.trials;
const place = Object.fromEntries(columns.map((name, index) => [name, index]));
const search = rows.map((row) => row.map((value) => String(value ?? "")).join(" ").toLowerCase());
const table = document.getElementById("trial-table");
const [filter, phase, status] = ["filter", "phase", "status"].map((id) => document.getElementById(id));

function chosen() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = rows.filter((row, index) =>
    words.every((word) => search[index].includes(word)) &&
    (!phase.value || row[place.phase] === phase.value) && (!status.value || row[place.status] === status.value));
  const side = page.descending ? -1 : 1;
  return kept.sort((a, b) => {
    const [x, y] = [a[page.sort], b[page.sort]];
    if (x === null || y === null) return (x === null) - (y === null);
    return (typeof x === "number" ? x - y : String(x).localeCompare(String(y))) * side;
  });
}

function fill() {
  const kept = chosen();
  const body = table.tBodies[0];
  body.replaceChildren();
  kept.slice(0, page.rows).forEach((row) => {
    const line = element("tr", undefined, body);
    row.forEach((value, index) => {
      const cell = element("td", undefined, line);
      if (index === place.trial_id) {
        const link = element("a", value.startsWith(data.trials.run + ":") ? value.slice(data.trials.run.length + 1) : value, cell);
        link.href = "#trial=" + encodeURIComponent(value);
      } else cell.textContent = value === null ? "–" : value;
      if (index === place.error) { cell.className = "error"; cell.title = value ?? ""; }
    });
  });
  const left = total > rows.length ? `, the first ${rows.length} of ${total} in the page` : "";
  const shown = kept.length > page.rows ? `, ${page.rows} shown` : "";
  document.getElementById("count").textContent = `${kept.length} of ${rows.length} trials${shown}${left}`;
  document.getElementById("more").hidden = kept.length <= page.rows;
}

const head = element("tr", undefined, table.tHead);
function sortBy(index, descending) {
  [page.sort, page.descending] = [index, descending];
  [...head.cells].forEach((other) => other.removeAttribute("aria-sort"));
  head.cells[index].setAttribute("aria-sort", descending ? "descending" : "ascending");
  fill();
}
columns.forEach((name, index) => {
  const heading = element("th", name.replaceAll("_", " "), head);
  heading.addEventListener("click", () => sortBy(index, page.sort === index && !page.descending));
});
[[phase, "phase"], [status, "status"]].forEach(([select, name]) => {
  [...new Set(rows.map((row) => row[place[name]]))].sort().forEach((value) => element("option", value, select));
  select.addEventListener("change", fill);
});
filter.addEventListener("input", fill);
document.getElementById("more").addEventListener("click", () => { page.rows += page.step; fill(); });

const dialog = document.getElementById("trial");
function grid(map, epochs, layers) {
  const bytes = Uint8Array.from(atob(map.cells), (character) => character.charCodeAt(0));
  const value = (byte) => (byte === 255 ? null : map.low + (byte / 254) * (map.high - map.low));
  return epochs.map((_, row) => layers.map((_, column) => value(bytes[row * layers.length + column])));
}

function showTrial() {
  const found = /^#trial=(.*)$/.exec(location.hash);
  const row = found && rows.find((one) => one[place.trial_id] === decodeURIComponent(found[1]));
  if (!row) return;
  dialog.querySelector("h3").textContent = row[place.trial_id];
  const facts = dialog.querySelector("tbody");
  facts.replaceChildren();
  columns.forEach((name, index) => {
    if (row[index] === null || row[index] === "") return;
    const line = element("tr", undefined, facts);
    element("th", name.replaceAll("_", " "), line);
    element("td", row[index], line);
  });
  const maps = dialog.querySelector(".maps");
  maps.replaceChildren();
  if (!dialog.open) dialog.showModal();
  const id = row[place.trial_id];
  if (data.curves[id]) {
    const box = element("div", undefined, maps);
    box.className = "chart";
    const layout = structuredClone(data.trialChart.layout);
    layout.xaxis.title.text = against;
    Plotly.newPlot(box, data.trialChart.data.map((trace) => resolved(trace, id)), layout, config);
  } else element("p", "No epochs of this trial are in the page; study.curves(run) has what was recorded.", maps).className = "note";
  const kept = data.maps[row[place.trial_id]];
  if (!kept) element("p", "No layers of this trial are in the page; the table `layers` has what was recorded.", maps).className = "note";
  else Object.entries(kept.maps).forEach(([name, map]) => {
    element("h3", data.mapped[name], maps);
    const box = element("div", undefined, maps);
    box.className = "chart";
    const axes = { xaxis: { title: { text: "layer" } }, yaxis: { title: { text: "epoch" }, type: "category", automargin: true } };
    const clear = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", height: 230, margin: { l: 48, r: 8, t: 8, b: 42 } };
    const trace = { type: "heatmap", connectgaps: true, colorscale: "Viridis", x: kept.layers, y: kept.epochs.map(String), z: grid(map, kept.epochs, kept.layers), colorbar: { thickness: 12 } };
    Plotly.newPlot(box, [trace], { ...axes, ...clear }, config);
  });
}
window.addEventListener("hashchange", showTrial);
dialog.addEventListener("close", () => history.replaceState(null, "", "#trials"));
sortBy(place.val_accuracy, true);
showTrial();
