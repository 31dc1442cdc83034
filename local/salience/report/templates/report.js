// The script of report.html.  Everything that comes from data becomes text nodes, never markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

// --- Elements ---

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function select(label, values, shown, changed) {
  const options = values.map((value, place) => element("option", { value: place }, shown(value)));
  const made = element("select", { onchange: () => changed(values[Number(made.value)]) }, ...options);
  return { label: element("label", {}, label, made), input: made };
}

const distinct = (values) => [...new Set(values)];

// --- Light and dark ---

const MODES = ["auto", "light", "dark"];
const MODE_NAMES = { auto: "as the system has them", light: "light", dark: "dark" };
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
let mode = "auto";
const charts = [];

const isDark = () => mode === "dark" || (mode === "auto" && prefersDark.matches);

function applyMode() {
  document.documentElement.dataset.mode = isDark() ? "dark" : "light";
  const button = document.getElementById("mode");
  button.textContent = `Colours: ${mode}`;
  button.setAttribute("aria-label", `Colours: ${MODE_NAMES[mode]}; change`);
  charts.forEach((redraw) => redraw());
}

document.getElementById("mode").addEventListener("click", () => {
  mode = MODES[(MODES.indexOf(mode) + 1) % MODES.length];
  applyMode();
});
prefersDark.addEventListener("change", applyMode);

// --- Charts: Vega-Lite ---

const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];

function chartConfig(width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const labels = { labelColor: colour("--ink"), titleColor: colour("--ink"), labelFontSize: 12, titleFontSize: 12,
    titleFontWeight: "normal" };
  const mark = colour("--mark");
  return {
    background: null,
    font: "system-ui, 'Segoe UI', Arial, sans-serif",
    view: { stroke: null },
    axis: { ...labels, gridColor: colour("--line"), domainColor: colour("--soft"), tickColor: colour("--soft") },
    axisY: { labelLimit: Math.max(90, Math.min(280, width / 3)) },
    legend: { ...labels, labelLimit: Math.min(260, width - 170), columns: Math.max(1, Math.min(4, Math.floor(width / 220))) },
    title: { color: colour("--ink"), anchor: "start", fontSize: 13 },
    range: { category: [...PALETTE, isDark() ? "#ffffff" : "#000000"] },
    point: { color: mark }, rule: { color: mark }, line: { color: mark }, bar: { color: mark },
    text: { color: colour("--ink") },
  };
}

// The specification with names such as @metric put in.
function filled(specification, names) {
  return JSON.parse(JSON.stringify(specification), (_, value) => names[value] ?? value);
}

// A figure with a chart; `update(specification, caption)` draws it, and a change of mode or width draws it again.
function figure(label) {
  const place = element("div", { class: "chart" });
  const caption = element("figcaption");
  const made = element("figure", {}, place, caption);
  let current = null;
  let width = 0;
  const redraw = async () => {
    if (!current || !place.isConnected || !place.clientWidth) return;
    width = place.clientWidth;
    await window.vegaEmbed(place, { ...current, description: label }, {
      actions: false, renderer: "svg", config: chartConfig(width), tooltip: { theme: isDark() ? "dark" : "light" },
    });
  };
  charts.push(redraw);
  new ResizeObserver(() => { if (Math.abs(place.clientWidth - width) > 1) redraw(); }).observe(place);
  return {
    made,
    update(specification, text) {
      current = specification;
      caption.textContent = text;
      return redraw();
    },
  };
}

// --- Rates, and the switches above them ---

const NONE = { accent: "all", gender: "all", snr: "clean", normaliser: "none" };
const METRICS = { wer: "WER (%)", cer: "CER (%)", error: "error (%)", accuracy: "accuracy (%)" };

const metricName = (metric) => METRICS[metric] ?? metric.replaceAll("_", " ");
const shownValue = (field, value) => {
  if (value === undefined) return NONE[field] ?? "none";
  if (field === "metric") return metricName(value);
  return field === "snr" && typeof value === "number" ? `${value} dB` : String(value);
};

// The switches of rows: `changed(chosen rows, choice)` is called with the first choice, and with every later one.
function switches(rows, fields, changed) {
  const choice = {};
  const form = element("fieldset", { class: "switches" });
  const choose = () => {
    let left = rows;
    form.replaceChildren(element("legend", { class: "skip" }, "What the chart shows"));
    for (const field of fields) {
      const values = distinct(left.map((row) => row[field]));
      if (!values.includes(choice[field]) || !(field in choice)) choice[field] = first(field, values);
      if (values.length > 1) {
        const made = select(field, values, (value) => shownValue(field, value), (value) => {
          choice[field] = value;
          choose();
          form.querySelector(`select[name="${field}"]`)?.focus();
        });
        made.input.name = field;
        made.input.value = values.indexOf(choice[field]);
        form.append(made.label);
      }
      left = left.filter((row) => row[field] === choice[field]);
    }
    changed(left, choice);
  };
  choose();
  return form;
}

// What a field begins with: the main metric, a set for testing, no accent, and the last normaliser, by which systems are
// compared.
function first(field, values) {
  if (field === "metric" && values.includes(data.metric)) return data.metric;
  if (field === "normaliser") return values.filter((value) => !String(value).startsWith("raw")).pop() ?? values[0];
  if (field === "set") return values.find((value) => !String(value).includes("dev")) ?? values[0];
  return values.includes(undefined) ? undefined : values[0];
}

const places = (choice, fields) => fields.filter((field) => choice[field] !== undefined && field !== "metric")
  .map((field) => shownValue(field, choice[field])).join(", ");

function table(caption, headers, rows) {
  const line = (cells, name) => element("tr", {}, ...cells.map((cell) => element(name, name === "th" ? { scope: "col" } : {},
    element("bdi", {}, cell))));
  return element("details", {}, element("summary", {}, caption), element("div", { class: "scroll" },
    element("table", {}, element("thead", {}, line(headers, "th")),
      element("tbody", {}, ...rows.map((cells) => line(cells, "td"))))));
}

const number = (value) => (value === undefined ? "–" : value.toFixed(2));

function drawRates(place, rows) {
  const chart = figure("Rate of each system with its 95 % interval");
  const beside = element("div");
  const form = switches(rows, data.switches, (chosen, choice) => {
    const of = places(choice, data.switches);
    const marks = ["Dot: mean over seeds", "line: 95 % interval", "small dots below: each seed"];
    const specification = filled(data.rates, { "@metric": metricName(choice.metric) });
    if (chosen.some((row) => row.paper !== undefined)) marks.push("diamond: the paper");
    else specification.layer.pop();
    chart.update({ ...specification, height: 30 * chosen.length, datasets: { rows: chosen } }, `${metricName(choice.metric)}, ${of}. ${marks.join("; ")}.`);
    beside.replaceChildren(table("The chart as a table", ["system", "value", "95 % interval", "seeds", "utterances", "paper"],
      chosen.map((row) => [row.system, number(row.value), `${number(row.low)} to ${number(row.high)}`,
        (row.seeds ?? []).join(", "), String(row.n ?? "–"), number(row.paper)])));
  });
  place.append(form, chart.made, beside);
}

// --- Accents, sorted by how far they are from the rate of all together ---

function drawAccents(place, rows) {
  const fields = ["metric", "set", "normaliser"];
  const ofAccents = rows.filter((row) => row.accent !== undefined && row.gender === undefined);
  if (!ofAccents.length) return;
  const chart = figure("Rate of each accent with its 95 % interval");
  const draw = (chosen, choice) => {
    const same = (row) => fields.every((field) => row[field] === choice[field]);
    const all = new Map(rows.filter((row) => same(row) && row.accent === undefined && row.gender === undefined
      && row.snr === undefined).map((row) => [row.system, row.value]));
    const gapOf = (row) => row.value - (all.get(row.system) ?? NaN);
    const sorted = chosen.map((row) => ({ ...row, gap: Number(gapOf(row).toFixed(3)) }));
    const gaps = new Map(sorted.filter((row) => row.system === choice.system).map((row) => [row.accent, row.gap]));
    sorted.sort((a, b) => (gaps.get(b.accent) ?? -Infinity) - (gaps.get(a.accent) ?? -Infinity));
    const specification = filled(data.accents, { "@metric": metricName(choice.metric) });
    chart.update({ ...specification, height: 9 * sorted.length + 6 * gaps.size, datasets: { rows: sorted } },
      `${metricName(choice.metric)}, ${places(choice, fields)}: accents by their gap to all accents together for `
      + `${choice.system}, the widest first; lines are 95 % intervals.`);
  };
  // The system that sorts is chosen among those of the same rows, all of which are drawn.
  let sortedBy;
  const sorting = element("span");
  const form = switches(ofAccents, fields, (chosen, choice) => {
    const systems = distinct(chosen.map((row) => row.system));
    if (!systems.includes(sortedBy)) sortedBy = systems.includes("plain") ? "plain" : systems[0];
    const made = select("sorted by the gap of", systems, String, (system) => {
      sortedBy = system;
      draw(chosen, { ...choice, system });
    });
    made.input.value = systems.indexOf(sortedBy);
    sorting.replaceChildren(made.label);
    draw(chosen, { ...choice, system: sortedBy });
  });
  place.append(element("h3", {}, "By accent"), element("div", { class: "switches" }, form, sorting), chart.made);
}

// --- All of it ---

applyMode();
document.querySelectorAll("[data-section]").forEach((section) => {
  const rows = data.sections[Number(section.dataset.section)];
  const rates = section.querySelector(".rates");
  if (!rates) return;
  drawRates(rates, rows);
  drawAccents(section.querySelector(".accents"), rows);
});
applyMode();
document.documentElement.dataset.ready = "true";
