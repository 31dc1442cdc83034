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

// Okabe and Ito's colours, and lighter ones of the same hues for the dark.
const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"];
const DARK_PALETTE = ["#56B4E9", "#FFC04D", "#35D0A0", "#F0A8D0", "#B9CCFF", "#FF8F4D", "#FFFFFF"];

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
    range: { category: isDark() ? DARK_PALETTE : PALETTE },
    style: { paper: { color: colour("--paper") } },
    point: { color: mark }, circle: { color: mark }, rule: { color: mark }, line: { color: mark }, bar: { color: mark },
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
const better = (metric) => (["wer", "cer", "error"].includes(metric) ? "Lower is better. " : "");

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
    changed(left, choice, form);
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
  const form = switches(rows, data.switches, (chosen, choice, shown) => {
    const of = places(choice, data.switches.filter((name) => name === "set" || shown.querySelector(`[name="${name}"]`)));
    const marks = ["Dot: mean over seeds", "line: 95 % interval", "small dots below: each seed"];
    const specification = filled(data.rates, { "@metric": metricName(choice.metric) });
    if (chosen.some((row) => row.paper !== undefined)) marks.push("diamond: the paper");
    else specification.layer.pop();
    chart.update({ ...specification, height: 30 * chosen.length, datasets: { rows: chosen } }, `${metricName(choice.metric)}, ${of}. ${better(choice.metric)}${marks.join("; ")}.`);
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

// --- Further charts, drawn when they are scrolled to ---

function drawCharts(place, charts) {
  for (const { title, note, specification } of charts) {
    const chart = figure(title);
    const item = element("div", { class: "item" }, element("h4", {}, element("bdi", {}, title)), chart.made);
    place.append(item);
    new IntersectionObserver((seen, observer) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      observer.disconnect();
      chart.update(specification, note);
    }, { rootMargin: "400px" }).observe(item);
  }
}

// --- Masks: the policies of masking/policies.py, with numpy's random numbers ---

const BITS_64 = (1n << 64n) - 1n;
const BITS_128 = (1n << 128n) - 1n;

// numpy's PCG64 (O'Neill, 2014: XSL-RR) from a state: draws of Generator.random.
function pcg64([state, increment]) {
  let now = BigInt(state);
  const step = BigInt(increment);
  return () => {
    now = (now * 0x2360ed051fc65da44385df649fccf645n + step) & BITS_128;
    const mixed = (now >> 64n) ^ (now & BITS_64);
    const turn = now >> 122n;
    const turned = ((mixed >> turn) | (mixed << (64n - turn))) & BITS_64;
    return Number(turned >> 11n) / 2 ** 53;
  };
}

const drawn = (random, [low, high]) => low + (high - low) * random();

// Python's round: halves go to the even number.
function rounded(value) {
  const whole = Math.floor(value);
  return value - whole === 0.5 ? whole + (whole % 2) : Math.round(value);
}

// By policy: its thresholds, what is drawn once, and what is hidden of a map C (Float32Array).  numpy compares 32-bit values.
const POLICIES = {
  probabilistic: {
    sliders: { low: "never masked up to", middle: "seldom masked up to", high: "always masked above" },
    draw(size, settings, state) {
      const random = pcg64(state);
      const rates = (interval) => (settings.per_point ? Float64Array.from({ length: size }, () => drawn(random, interval))
        : new Float64Array(size).fill(drawn(random, interval)));
      const middle = rates(settings.middle_rate);
      const low = rates(settings.low_rate);
      return { middle, low, chance: Float64Array.from({ length: size }, () => 1 - random()) };
    },
    hidden(map, settings, { middle, low, chance }) {
      const [never, seldom, always] = [settings.low, settings.middle, settings.high].map(Math.fround);
      return map.map((value, at) => {
        const rate = value > always ? 1 : value > seldom ? middle[at] : low[at];
        return value > never && (settings.literal ? chance[at] > rate : chance[at] <= rate) ? 1 : 0;
      });
    },
  },
  "top-share": {
    sliders: { share: "share of the points" },
    draw: () => null,
    hidden(map, settings) {
      const points = Math.min(rounded(settings.share * map.length), map.filter((value) => value !== 0).length);
      const order = Uint32Array.from(map.keys()).sort((a, b) => map[b] - map[a]);
      const found = new Float32Array(map.length);
      order.subarray(0, points).forEach((at) => { found[at] = 1; });
      return found;
    },
  },
  threshold: {
    sliders: { above: "above" },
    draw: () => null,
    hidden: (map, settings) => map.map((value) => (value > Math.fround(settings.above) ? 1 : 0)),
  },
};

// Values in [0, 1] of a packed matrix, (frames * bins).
async function unpacked({ data: text, bits }) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(plain).arrayBuffer();
  const whole = bits === 16 ? new Uint16Array(buffer) : new Uint8Array(buffer);
  return Float32Array.from(whole, (value) => value / (2 ** bits - 1));
}

// A mask with what it is recomputed from; `hidden(settings)` is 1 where a point is masked.
async function openMask(mask, maps) {
  if (mask.hidden) {
    const values = await unpacked(mask.hidden);
    return { ...mask, ...sizeOf(mask.hidden), hiddenPoints: () => values };
  }
  const policy = POLICIES[mask.policy];
  const map = maps[mask.map];
  const draws = policy.draw(map.values.length, mask.settings, mask.state);
  return { ...mask, ...sizeOf(map), sliders: policy.sliders, hiddenPoints: (settings) => policy.hidden(map.values, settings, draws) };
}

const sizeOf = ({ frames, bins }) => ({ frames, bins });

// --- Spectrograms ---

const HERTZ = { mel: [250, 500, 1000, 2000, 4000], linear: [1000, 2000, 4000, 6000] };
const TOP = 8000;
// Slaney's mel scale, which Whisper's filters use: linear to 1 kHz, logarithmic above.
const mel = (hertz) => (hertz < 1000 ? hertz * 3 / 200 : 15 + 27 * Math.log(hertz / 1000) / Math.log(6.4));
const height = (scale, hertz) => (scale === "mel" ? mel(hertz) / mel(TOP) : hertz / TOP);

// matplotlib's magma at nine places.
const MAGMA = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97],
  [254, 194, 135], [252, 253, 191]];

function magma(value) {
  const place = Math.min(value * 8, 7.999);
  const at = Math.floor(place);
  return MAGMA[at].map((low, channel) => low + (MAGMA[at + 1][channel] - low) * (place - at));
}

// An image of a matrix; `paint(value)` gives [red, green, blue, opacity from 0 to 1].
function image({ frames, bins, values }, paint) {
  const canvas = new OffscreenCanvas(frames, bins);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(frames, bins);
  for (let frame = 0; frame < frames; frame += 1) {
    for (let bin = 0; bin < bins; bin += 1) {
      const [red, green, blue, opacity = 1] = paint(values[frame * bins + bin]);
      pixels.data.set([red, green, blue, 255 * opacity], 4 * ((bins - 1 - bin) * frames + frame));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const MARGIN = { left: 62, bottom: 34 };

function drawSpectrogram(canvas, picture, level, layers, rows) {
  const ratio = window.devicePixelRatio || 1;
  const [width, tall] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * ratio, tall * ratio];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  const [across, up] = [width - MARGIN.left - 8, tall - MARGIN.bottom - 8];
  const draw = (made) => context.drawImage(made, MARGIN.left, 8, across, up);
  if (!rows) draw(image(level, magma));
  layers.forEach(draw);
  const style = getComputedStyle(canvas);
  context.fillStyle = style.color;
  context.strokeStyle = style.color;
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  const ticks = rows ? rows.map((name, row) => [name, 1 - (row + 0.5) / rows.length])
    : HERTZ[picture.scale].map((hertz) => [`${hertz / 1000} kHz`, height(picture.scale, hertz)]);
  for (const [name, place] of ticks) context.fillText(name, MARGIN.left - 6, 8 + up * (1 - place));
  context.textAlign = "center";
  context.textBaseline = "top";
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((seconds) => picture.seconds / seconds < across / 60) ?? 20;
  for (let at = 0; at <= picture.seconds + 1e-6; at += step) {
    const x = MARGIN.left + across * at / picture.seconds;
    context.fillRect(x, 8 + up, 1, 4);
    context.fillText(`${Number(at.toFixed(1))} s`, Math.min(x, width - 14), 8 + up + 7);
  }
}

function slider(label, value, changed) {
  const shown = element("output", {}, value.toFixed(2));
  const made = element("input", { type: "range", min: 0, max: 1, step: 0.01, value });
  made.addEventListener("input", () => {
    shown.textContent = Number(made.value).toFixed(2);
    changed(Number(made.value));
  });
  return element("label", {}, label, element("span", {}, made, " ", shown));
}

const GREY = [154, 160, 166];
const GREEN = [60, 230, 170]; // of maps: stands out from magma in light and shade

async function drawPicture(place, { picture, id }) {
  const level = { ...picture.level, values: await unpacked(picture.level) };
  const maps = await Promise.all(picture.maps.map(async (map) => ({ ...map, values: await unpacked(map) })));
  const canvas = element("canvas", { role: "img", class: "spectrogram" });
  const said = element("p", { class: "note", "aria-live": "polite" });
  const controls = element("div", { class: "switches" });
  const sliders = element("div", { class: "switches" });
  const shown = { map: picture.masks[0]?.map ?? (maps.length ? 0 : -1), opacity: 0.6, mask: picture.masks.length ? 0 : -1, settings: {} };
  let mask = null;
  const draw = () => {
    const layers = [];
    const map = maps[shown.map];
    if (map) layers.push(image(map, (value) => [...GREEN, shown.opacity * value]));
    let share = "";
    if (mask && !map?.symbols) {
      const values = mask.hiddenPoints(shown.settings);
      layers.push(image({ ...sizeOf(mask), values }, (value) => [...GREY, 0.8 * value]));
      const percent = 100 * values.reduce((sum, value) => sum + value, 0) / values.length;
      share = mask.policy === "threshold" ? `${percent.toFixed(1)} % of the points are above the threshold (grey): they count as noise.`
        : `${mask.name} masks ${percent.toFixed(1)} % of the points (grey).`;
    }
    drawSpectrogram(canvas, picture, level, layers, map?.symbols);
    said.textContent = `${map ? `Green: ${map.name}. ` : ""}${share}`;
    canvas.setAttribute("aria-label", `Spectrogram of ${id}, ${picture.seconds.toFixed(1)} seconds. ${said.textContent}`);
  };
  const choose = async (place) => {
    shown.mask = place;
    mask = place < 0 ? null : await openMask(picture.masks[place], maps);
    shown.settings = { ...mask?.settings };
    sliders.replaceChildren(...Object.entries(mask?.sliders ?? {}).map(([name, label]) => slider(label, shown.settings[name], (value) => {
      shown.settings[name] = value;
      draw();
    })));
    draw();
  };
  const named = (items) => (at) => (at < 0 ? "none" : items[at].name);
  const mapSwitch = select("map", [-1, ...maps.keys()], named(maps), (at) => { shown.map = at; draw(); });
  mapSwitch.input.value = shown.map + 1;
  const maskSwitch = select("mask", [-1, ...picture.masks.keys()], named(picture.masks), choose);
  [mapSwitch.input.name, maskSwitch.input.name] = ["map", "mask"];
  maskSwitch.input.value = shown.mask + 1;
  if (maps.length) controls.append(mapSwitch.label, slider("strength of the map", shown.opacity, (value) => { shown.opacity = value; draw(); }));
  if (picture.masks.length) controls.append(maskSwitch.label);
  place.append(controls, sliders, canvas, said);
  for (const { name, note, source } of picture.sounds) {
    place.append(element("figure", { class: "player" }, element("figcaption", {}, element("bdi", {}, name), note ? `: ${note}` : ""),
      element("audio", { controls: true, preload: "none", src: source, "aria-label": `${name}, ${id}` })));
  }
  await choose(shown.mask);
  current = draw;
  new ResizeObserver(draw).observe(canvas);
}

// --- Utterances ---

let current = () => {};
charts.push(() => current());

const wrong = ({ runs }) => runs.some(([said, heard]) => said !== heard);
const changed = ({ hypotheses }) => distinct(hypotheses.map(({ runs }) => runs.map(([, heard]) => heard).join(" "))).length > 1;

function alignment({ system, seed, runs, direction }) {
  const line = element("p", { class: "aligned", dir: direction });
  for (const [said, heard] of runs) {
    if (said === heard) line.append(element("span", {}, said), " ");
    else {
      if (said) line.append(element("del", { title: "said" }, said), " ");
      if (heard) line.append(element("ins", { title: "recognised instead" }, heard), " ");
    }
  }
  const name = element("dt", {}, element("bdi", {}, system), seed === "" || seed === "0" ? "" : `, seed ${seed}`);
  return [name, element("dd", {}, line)];
}

function drawUtterance(place, utterance) {
  const { id, set, accent, speaker, text, hypotheses, picture } = utterance;
  const facts = [`set ${set}`, accent && `accent ${accent}`, `speaker ${speaker}`].filter(Boolean).join(", ");
  place.replaceChildren(element("h3", {}, element("bdi", {}, id)), element("p", { class: "note" }, facts),
    element("p", { class: "said", dir: "auto" }, text));
  if (hypotheses.length) {
    place.append(element("h4", {}, "What each system recognised"),
      element("p", { class: "note" }, "Struck through: said, but not recognised. Underlined: recognised, but not said."),
      element("dl", { class: "hypotheses" }, ...hypotheses.flatMap(alignment)));
  }
  current = () => {};
  if (picture) drawPicture(place, utterance);
}

function drawUtterances(section, utterances) {
  const list = element("ul", { class: "list" });
  const count = element("p", { class: "note", role: "status" });
  const detail = element("article", { class: "detail", "aria-live": "off" });
  const choice = { text: "", set: undefined, accent: undefined, speaker: undefined, system: undefined, changed: false };
  let shown = null;
  const systems = distinct(utterances.flatMap(({ hypotheses }) => hypotheses.map(({ system }) => system)));
  const fits = (one) => ["set", "accent", "speaker"].every((name) => choice[name] === undefined || one[name] === choice[name])
    && (choice.system === undefined || one.hypotheses.some((found) => found.system === choice.system && wrong(found)))
    && (!choice.changed || changed(one))
    && `${one.id} ${one.text} ${one.hypotheses.flatMap(({ runs }) => runs.map(([, heard]) => heard)).join(" ")}`
      .toLowerCase().includes(choice.text.toLowerCase());
  const show = (utterance) => {
    shown = utterance;
    drawUtterance(detail, utterance);
    list.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", button.dataset.id === `${utterance.set}/${utterance.id}`));
  };
  const update = () => {
    const found = utterances.filter(fits);
    count.textContent = `${found.length} of ${utterances.length} utterances, ${found.filter((one) => one.picture).length} with picture and sound (♪)`;
    list.replaceChildren(...found.map((one) => element("li", {}, element("button", {
      type: "button", "data-id": `${one.set}/${one.id}`, "aria-pressed": one === shown, onclick: () => show(one),
    }, element("bdi", { class: "key" }, one.id), one.picture ? " ♪" : "", element("br"), element("bdi", { class: "said" }, one.text)))));
  };
  const search = element("input", { type: "search", name: "text", oninput: () => { choice.text = search.value; update(); } });
  const only = element("input", { type: "checkbox", name: "changed", onchange: () => { choice.changed = only.checked; update(); } });
  const filters = ["set", "accent", "speaker"].map((name) => [name, name, distinct(utterances.map((one) => one[name]).filter(Boolean))])
    .concat([["system", "wrong with", systems]]);
  const form = element("div", { class: "switches", role: "search" }, element("label", {}, "search", search));
  for (const [name, label, values] of filters) {
    if (values.length < 2 && name !== "system") continue;
    const made = select(label, [undefined, ...values], (value) => value ?? "all", (value) => { choice[name] = value; update(); });
    made.input.name = name;
    if (values.length) form.append(made.label);
  }
  if (systems.length > 1) form.append(element("label", { class: "beside" }, only, "only where systems differ"));
  section.append(form, count, element("div", { class: "utterances" }, list, detail));
  update();
  show(utterances[0]);
}

// --- All of it ---

applyMode();
document.querySelectorAll("[data-section]").forEach((section) => {
  const { rows, charts: further } = data.sections[Number(section.dataset.section)];
  if (rows.length) {
    drawRates(section.querySelector(".rates"), rows);
    drawAccents(section.querySelector(".accents"), rows);
  }
  if (further.length) drawCharts(section.querySelector(".charts"), further);
});
if (data.utterances.length) drawUtterances(document.getElementById("utterances"), data.utterances);
applyMode();
document.documentElement.dataset.ready = "true";
