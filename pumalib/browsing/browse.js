"use strict";
// The page of `puma browse`. Plain JavaScript: data, filters, grid, details, keyboard, in this order.

// ---- data: columns of numbers, and sheets that thumbnails are cut out of

const find = (id) => document.getElementById(id);
const page = JSON.parse(find("page-data").textContent);
const ROWS_A_SHEET = 256;
const SHEETS_KEPT = 48;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function column(Type, base64) {
  return new Type(bytesOf(base64).buffer);
}

const collections = page.collections.map((told, number) => ({
  ...told,
  number,
  rows: column(Uint32Array, told.rows),
  labels: column(Uint16Array, told.labels),
  facets: told.facets.map((facet) => ({ ...facet, codes: column(Uint16Array, facet.codes) })),
  predictions: told.predictions.map((each) => ({ ...each, codes: column(Uint16Array, each.codes) })),
  values: told.values.map((each) => ({ ...each, numbers: column(Float32Array, each.numbers) })),
  moved: told.moved && movedOf(told.moved, number),
}));

// Rows with a perturbed image: two tiles each, the image and its magnified difference.
function movedOf({ positions, predictions }, number) {
  const places = new Map([...column(Uint32Array, positions)].map((at, place) => [at, place]));
  const largest = column(Float32Array, find(`changes-${number}`).textContent);
  return { places, predictions: column(Uint16Array, predictions), largest };
}

const sheets = new Map(); // the last ones used; a Map keeps the order of insertion

function sheetOf(rows, place, kind = "sheet") {
  const id = `${kind}-${rows.number}-${place}`;
  const known = sheets.get(id);
  sheets.delete(id);
  const picture =
    known ?? createImageBitmap(new Blob([bytesOf(find(id).textContent)], { type: rows.layout.mediaType }));
  sheets.set(id, picture);
  if (sheets.size > SHEETS_KEPT) sheets.delete(sheets.keys().next().value);
  return picture;
}

async function paint(canvas, rows, tile, kind = "sheet") {
  const { width, height, pitchWidth, pitchHeight, columns } = rows.layout;
  canvas.width = width;
  canvas.height = height;
  const sheet = await sheetOf(rows, Math.floor(tile / ROWS_A_SHEET), kind);
  const within = tile % ROWS_A_SHEET;
  const left = (within % columns) * pitchWidth;
  const top = Math.floor(within / columns) * pitchHeight;
  canvas.getContext("2d").drawImage(sheet, left, top, width, height, 0, 0, width, height);
  canvas.dataset.painted = "yes";
}

function spelled(number, digits) {
  if (Number.isNaN(number)) return "–";
  if (!Number.isFinite(number)) return number < 0 ? "−∞" : "∞";
  return String(Number(number.toPrecision(digits))).replace(/^-/, "−");
}

function short(number) {
  return spelled(number, 3);
}

function count(number) {
  return number.toLocaleString("en");
}

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

// ---- what is asked for

const state = { rows: collections[0], shown: [], active: -1, isOpen: false, size: 1 };

function startState() {
  const { rows } = state;
  Object.assign(state, {
    query: "",
    value: 0,
    low: -Infinity,
    high: Infinity,
    classes: new Set(), // empty: every class
    facets: rows.facets.map(() => new Set()), // empty: everything
    predictions: rows.predictions.map(() => "any"),
    classesByShare: false,
    sort: rows.values.length ? "0 up" : "row",
    active: -1,
    isOpen: false,
  });
}

// ---- filters: a bit a filter that a row fails, so that each list can leave its own filter out

const QUERY = 1;
const VALUE = 2;
const CLASS = 4;
const FIRST_FACET = 3; // bits from here on are of facets, then of predictions

let failed = new Uint32Array(0);

function matcher(text) {
  const query = text.trim().toLowerCase();
  const { rows } = state;
  if (!query) return () => true;
  const classes = rows.classes.map((name) => name.toLowerCase().includes(query));
  return (at) =>
    classes[rows.labels[at]] ||
    String(rows.rows[at]) === query ||
    Boolean(rows.files && rows.files[at].toLowerCase().includes(query));
}

function isInside(number) {
  if (Number.isNaN(number)) return state.low === -Infinity && state.high === Infinity;
  return number >= state.low && number <= state.high;
}

function fits(wanted, predicted, label) {
  if (wanted === "any") return true;
  if (wanted === "right") return predicted === label;
  if (wanted === "wrong") return predicted !== label;
  return predicted === Number(wanted);
}

function filter() {
  const { rows } = state;
  const matches = matcher(state.query);
  const numbers = rows.values[state.value]?.numbers;
  failed = new Uint32Array(rows.rows.length);
  for (let at = 0; at < failed.length; at++) {
    let bits = 0;
    if (!matches(at)) bits |= QUERY;
    if (numbers && !isInside(numbers[at])) bits |= VALUE;
    if (state.classes.size && !state.classes.has(rows.labels[at])) bits |= CLASS;
    rows.facets.forEach((facet, index) => {
      const wanted = state.facets[index];
      if (wanted.size && !wanted.has(facet.codes[at])) bits |= 1 << (FIRST_FACET + index);
    });
    rows.predictions.forEach((each, index) => {
      if (!fits(state.predictions[index], each.codes[at], rows.labels[at])) {
        bits |= 1 << (FIRST_FACET + rows.facets.length + index);
      }
    });
    failed[at] = bits;
  }
}

function sortKeys() {
  const { rows } = state;
  const [index, way] = state.sort.split(" ");
  if (state.sort === "row") return [...rows.rows];
  if (state.sort === "class") return [...rows.labels];
  const { numbers, cuts } = rows.values[Number(index)];
  const cut = cuts[0] ?? 0;
  const key = { up: (one) => one, down: (one) => -one, near: (one) => Math.abs(one - cut) }[way];
  return Array.from(numbers, (one) => (Number.isNaN(one) ? Infinity : key(one)));
}

// All rows in the order that is asked for: sorting 50,000 takes too long for every move of a handle.
function order() {
  const key = `${state.rows.number} ${state.sort}`;
  if (state.orderedBy === key) return state.order;
  const keys = sortKeys();
  const { rows } = state.rows;
  const difference = (one, other) => (keys[one] === keys[other] ? 0 : keys[one] < keys[other] ? -1 : 1);
  const all = Array.from(rows, (_, at) => at);
  state.order = all.sort((one, other) => difference(one, other) || rows[one] - rows[other]);
  state.orderedBy = key;
  return state.order;
}

// Filter, sort, and draw all that depends on it; the row that was looked at stays, if it is still there.
function update() {
  const looked = state.shown[state.active];
  filter();
  state.shown = order().filter((at) => !failed[at]);
  state.active = looked === undefined ? -1 : state.shown.indexOf(looked);
  if (state.active < 0) state.isOpen = false;
  drawStatus();
  drawValue();
  drawFacets();
  drawClasses();
  drawGrid(true);
  drawDetail();
}

// ---- the list of filters

function drawStatus() {
  const { rows, shown } = state;
  find("status").textContent = `${count(shown.length)} of ${count(rows.rows.length)} rows`;
  const chosen = [state.query.trim(), state.low > -Infinity || state.high < Infinity, state.classes.size];
  const number = [...chosen, ...state.facets.map((each) => each.size), ...state.predictions.map((each) => each !== "any")];
  const active = number.filter(Boolean).length;
  find("open-filters").textContent = active ? `Filters (${active})` : "Filters";
  find("close-filters").textContent = `Show ${count(shown.length)} rows`;
  find("reset").disabled = !active;
}

function countsBy(codes, size, left) {
  const counts = new Array(size).fill(0);
  for (let at = 0; at < codes.length; at++) if (!(failed[at] & ~left)) counts[codes[at]]++;
  return counts;
}

function swatch(code) {
  return make("i", { className: `swatch c${code % 6}`, "aria-hidden": "true" });
}

const headings = { fate: "Kept or pruned", source: "Source", outcome: "Outcome", perturbed: "Perturbed image" };

function facetSection(facet, index) {
  const counts = countsBy(facet.codes, facet.names.length, 1 << (FIRST_FACET + index));
  const wanted = state.facets[index];
  const chips = facet.names.map((name, code) => {
    const box = make("input", { type: "checkbox", checked: wanted.has(code), name: facet.name, value: name });
    box.addEventListener("change", () => {
      if (box.checked) wanted.add(code);
      else wanted.delete(code);
      update();
      again(`input[name="${facet.name}"]`, code);
    });
    const mark = index ? [] : [swatch(code)];
    return make("label", { className: "chip" }, box, ...mark, make("span", {}, name), make("b", {}, count(counts[code])));
  });
  const name = headings[facet.name] ?? facet.name;
  return make("section", { "aria-label": name }, make("h3", {}, name), make("div", { className: "chips" }, ...chips));
}

// A list is drawn anew when it is clicked; the keyboard stays where it was.
function again(selector, index) {
  document.querySelectorAll(selector)[index]?.focus({ preventScroll: true });
}

function predictionSection(each, index) {
  const { rows } = state;
  const bit = 1 << (FIRST_FACET + rows.facets.length + index);
  const counts = countsBy(each.codes, rows.classes.length, bit);
  let right = 0;
  let all = 0;
  for (let at = 0; at < failed.length; at++) {
    if (failed[at] & ~bit) continue;
    all++;
    if (each.codes[at] === rows.labels[at]) right++;
  }
  const options = [
    ["any", `any (${count(all)})`],
    ["right", `the label (${count(right)})`],
    ["wrong", `another class (${count(all - right)})`],
    ...rows.classes.map((name, code) => [String(code), `${name} (${count(counts[code])})`]),
  ];
  const choice = make("select", { "data-prediction": String(index) });
  choice.append(...options.map(([value, text]) => make("option", { value }, text)));
  choice.value = state.predictions[index];
  choice.addEventListener("change", () => {
    state.predictions[index] = choice.value;
    update();
    again("select[data-prediction]", index);
  });
  return make("section", {}, make("h3", {}, make("label", {}, make("span", {}, capital(each.name)), choice)));
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function drawFacets() {
  const { rows } = state;
  const several = rows.facets.map((facet, index) => ({ facet, index })).filter(({ facet }) => facet.names.length > 1);
  find("facets").replaceChildren(
    ...several.map(({ facet, index }) => facetSection(facet, index)),
    ...rows.predictions.map(predictionSection),
  );
}

function shareLost(whole) {
  const all = whole.reduce((sum, each) => sum + each, 0);
  return all ? 1 - whole[0] / all : 0;
}

function classBar(left, total) {
  const parts = left.map((number, code) => {
    const part = make("i", { className: `c${code % 6}` });
    part.style.width = `${total ? (100 * number) / total : 0}%`;
    return part;
  });
  return make("span", { className: "track", "aria-hidden": "true" }, ...parts);
}

function drawClasses() {
  const { rows } = state;
  const first = rows.facets[0];
  const left = rows.classes.map(() => new Array(first.names.length).fill(0));
  const totals = new Array(rows.classes.length).fill(0);
  for (let at = 0; at < failed.length; at++) {
    totals[rows.labels[at]]++;
    if (!(failed[at] & ~CLASS)) left[rows.labels[at]][first.codes[at]]++;
  }
  const order = rows.classes.map((_, label) => label);
  if (state.classesByShare) order.sort((one, other) => shareLost(rows.whole[other]) - shareLost(rows.whole[one]));
  find("share").textContent = `not ${first.names[0]}`;
  find("class-order").textContent = state.classesByShare ? "order: most lost first" : "order: as labelled";
  find("class-order").setAttribute("aria-pressed", String(state.classesByShare));
  const lines = order.map((label) => classLine(label, left[label], totals[label]));
  find("classes").tBodies[0].replaceChildren(...lines);
}

function classLine(label, left, total) {
  const { rows } = state;
  const box = make("input", { type: "checkbox", checked: state.classes.has(label), name: "class", value: String(label) });
  box.addEventListener("change", () => {
    if (box.checked) state.classes.add(label);
    else state.classes.delete(label);
    update();
    document.querySelector(`input[name="class"][value="${label}"]`).focus({ preventScroll: true });
  });
  const number = left.reduce((sum, each) => sum + each, 0);
  const name = make("label", {}, box, make("span", {}, rows.classes[label]));
  const line = make(
    "tr",
    {},
    make("th", { scope: "row" }, name, classBar(left, total)),
    make("td", {}, count(number)),
    make("td", {}, `${(100 * shareLost(rows.whole[label])).toFixed(1)} %`),
  );
  line.classList.toggle("dimmed", state.classes.size > 0 && !state.classes.has(label));
  return line;
}

// ---- the value: a histogram, two handles, and two numbers that say exactly where they are

const STEPS = 1000;
const BINS = 56;

function rangeOf(numbers) {
  let low = Infinity;
  let high = -Infinity;
  for (const one of numbers) {
    if (!Number.isFinite(one)) continue;
    low = Math.min(low, one);
    high = Math.max(high, one);
  }
  return low <= high ? [low, high] : [0, 0];
}

function binned(each, first, range) {
  const bins = Array.from({ length: BINS }, () => new Array(first.names.length).fill(0));
  const width = (range[1] - range[0]) / BINS || 1;
  for (let at = 0; at < failed.length; at++) {
    const one = each.numbers[at];
    if (failed[at] & ~VALUE || !Number.isFinite(one)) continue;
    bins[Math.min(BINS - 1, Math.floor((one - range[0]) / width))][first.codes[at]]++;
  }
  return bins;
}

function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function drawHistogram(each, range) {
  const bins = binned(each, state.rows.facets[0], range);
  const most = Math.max(1, ...bins.map((bin) => bin.reduce((sum, one) => sum + one, 0)));
  const along = (value) => (range[1] > range[0] ? (BINS * (value - range[0])) / (range[1] - range[0]) : 0);
  const shapes = bins.flatMap((bin, index) => {
    let below = 0;
    return bin.map((number, code) => {
      const height = (60 * number) / most;
      below += height;
      return shape("rect", { x: index, y: 60 - below, width: 0.9, height, class: `c${code % 6}` });
    });
  });
  const low = Math.max(0, along(Math.max(state.low, range[0])));
  const high = Math.min(BINS, along(Math.min(state.high, range[1])));
  const veils = [[0, low], [high, BINS]].map(([from, to]) =>
    shape("rect", { x: from, y: 0, width: Math.max(0, to - from), height: 60, class: "veil" }),
  );
  const lines = each.cuts.map((cut) =>
    shape("line", { x1: along(cut), x2: along(cut), y1: 0, y2: 60, class: "cut", "vector-effect": "non-scaling-stroke" }),
  );
  const svg = find("histogram");
  svg.setAttribute("viewBox", `0 0 ${BINS} 60`);
  svg.replaceChildren(...shapes, ...veils, ...lines);
}

function drawValue() {
  const each = state.rows.values[state.value];
  find("value-filter").hidden = !each;
  if (!each) return;
  const range = rangeOf(each.numbers);
  drawHistogram(each, range);
  const place = (value) => Math.round((STEPS * (value - range[0])) / (range[1] - range[0] || 1));
  find("low").value = state.low === -Infinity ? 0 : place(state.low);
  find("high").value = state.high === Infinity ? STEPS : place(state.high);
  find("low-number").value = state.low === -Infinity ? "" : state.low;
  find("high-number").value = state.high === Infinity ? "" : state.high;
  find("low-number").placeholder = short(range[0]);
  find("high-number").placeholder = short(range[1]);
  const without = each.numbers.filter(Number.isNaN).length;
  find("without").textContent = without ? `${count(without)} rows have no ${each.name}; they are shown while both ends are open.` : "";
}

// A handle at its end is open, so that nothing falls out by rounding.
function moveHandle(side) {
  const place = Number(find(side).value);
  const range = rangeOf(state.rows.values[state.value].numbers);
  const value = Number((range[0] + ((range[1] - range[0]) * place) / STEPS).toPrecision(4));
  if (side === "low") state.low = place === 0 ? -Infinity : Math.min(value, state.high);
  else state.high = place === STEPS ? Infinity : Math.max(value, state.low);
  update();
}

function typeEnd(side) {
  const text = find(`${side}-number`).value;
  const open = side === "low" ? -Infinity : Infinity;
  state[side] = text === "" ? open : Number(text);
  update();
}

function cutButton(cut, text, low, high) {
  const button = make("button", { type: "button" }, `${text} ${short(cut)}`);
  button.addEventListener("click", () => {
    Object.assign(state, { low, high });
    update();
  });
  return button;
}

function drawCuts() {
  const each = state.rows.values[state.value];
  const buttons = (each?.cuts ?? []).flatMap((cut) => [
    cutButton(cut, "Up to the cut", -Infinity, cut),
    cutButton(cut, "From the cut", cut, Infinity),
  ]);
  find("cuts").replaceChildren(...buttons);
}

// ---- the grid: only cells that can be seen exist

const grid = find("grid");
const GAP = 6;
const CAPTION = 20;
let cells = new Map();

function cellSize() {
  const { width, height } = state.rows.layout;
  return { width: width * state.size, height: height * state.size };
}

function geometry() {
  const size = cellSize();
  const room = grid.clientWidth - GAP;
  const pitch = Math.max(size.width, 44) + GAP;
  const across = Math.max(1, Math.floor(room / pitch));
  return { ...size, pitch, across, line: size.height + CAPTION + GAP, lead: Math.floor((room - across * pitch) / 2) + GAP };
}

function drawGrid(isNew = false) {
  const shape = geometry();
  if (isNew) {
    grid.querySelectorAll(".cell").forEach((cell) => cell.remove());
    cells = new Map();
    find("sizer").style.height = `${Math.ceil(state.shown.length / shape.across) * shape.line + GAP + covered()}px`;
  }
  const first = Math.max(0, Math.floor(grid.scrollTop / shape.line) - 2) * shape.across;
  const lines = Math.ceil(grid.clientHeight / shape.line) + 4;
  const last = Math.min(state.shown.length, first + lines * shape.across);
  for (const [place, cell] of cells) {
    if (place >= first && place < last) continue;
    cell.remove();
    cells.delete(place);
  }
  for (let place = first; place < last; place++) if (!cells.has(place)) addCell(place, shape);
  markActive();
}

function addCell(place, shape) {
  const { rows } = state;
  const at = state.shown[place];
  const code = rows.facets[0].codes[at];
  const picture = make("canvas", {});
  Object.assign(picture.style, { width: `${shape.width}px`, height: `${shape.height}px` });
  picture.className = state.size >= 2 ? "coarse" : "";
  const caption = make("span", { className: "caption" }, swatch(code), captionOf(at));
  const cell = make("div", { id: `cell-${place}`, className: "cell", role: "option", title: nameOf(at) }, picture, caption);
  cell.setAttribute("aria-label", nameOf(at));
  cell.setAttribute("aria-posinset", place + 1);
  cell.setAttribute("aria-setsize", state.shown.length);
  if (isDenied(at)) cell.append(make("span", { className: "denied", "aria-hidden": "true" }, "≠"));
  cell.style.width = `${shape.pitch - GAP}px`;
  cell.style.transform = `translate(${shape.lead + (place % shape.across) * shape.pitch}px, ${GAP + Math.floor(place / shape.across) * shape.line}px)`;
  cell.addEventListener("click", () => look(place, true));
  cells.set(place, cell);
  grid.append(cell);
  paint(picture, rows, at);
}

function isDenied(at) {
  const { predictions, labels } = state.rows;
  return predictions.length > 0 && predictions[0].codes[at] !== labels[at];
}

function captionOf(at) {
  const sorted = state.sort.split(" ");
  const each = state.rows.values[sorted.length > 1 ? Number(sorted[0]) : state.value];
  return each ? short(each.numbers[at]) : String(state.rows.rows[at]);
}

function nameOf(at) {
  const { rows } = state;
  const values = rows.values.filter((each) => !Number.isNaN(each.numbers[at]));
  const told = values.map((each) => `${each.name} ${short(each.numbers[at])}`);
  const facets = rows.facets.map((facet) => facet.names[facet.codes[at]]);
  return [`row ${rows.rows[at]}`, rows.classes[rows.labels[at]], ...facets, ...told].join(", ");
}

function markActive() {
  grid.querySelectorAll(".cell[aria-selected]").forEach((cell) => cell.removeAttribute("aria-selected"));
  const cell = cells.get(state.active);
  cell?.setAttribute("aria-selected", "true");
  if (cell) grid.setAttribute("aria-activedescendant", cell.id);
  else grid.removeAttribute("aria-activedescendant");
}

function look(place, isOpen = state.isOpen) {
  state.active = place;
  state.isOpen = isOpen && place >= 0;
  const wasHidden = find("detail").hidden;
  drawDetail();
  if (find("detail").hidden !== wasHidden) drawGrid(true);
  scrollTo(place);
  drawGrid();
}

// On a narrow screen the row that is open lies over the lower part of the grid.
function covered() {
  const detail = find("detail");
  if (detail.hidden || getComputedStyle(detail).position !== "fixed") return 0;
  return Math.max(0, grid.getBoundingClientRect().bottom - detail.getBoundingClientRect().top);
}

function scrollTo(place) {
  if (place < 0) return;
  const { across, line } = geometry();
  const top = Math.floor(place / across) * line;
  const bottom = top + line + GAP;
  const height = grid.clientHeight - covered();
  if (top < grid.scrollTop || height < line) grid.scrollTop = top;
  else if (bottom > grid.scrollTop + height) grid.scrollTop = bottom - height;
}

// ---- one row

function drawDetail() {
  const detail = find("detail");
  detail.hidden = !state.isOpen;
  document.body.classList.toggle("looking", state.isOpen);
  if (!state.isOpen) return;
  const at = state.shown[state.active];
  const { rows } = state;
  const buttons = [
    detailButton("‹", "Row before", () => move(-1)),
    detailButton("›", "Next row", () => move(1)),
    detailButton("×", "Close", () => look(state.active, false)),
  ];
  const name = make("bdi", { id: "copied-name" }, toCopy(at));
  const copy = make("button", { type: "button", id: "copy" }, rows.files ? "Copy file name" : "Copy row number");
  copy.addEventListener("click", () => copyName());
  const pictures = picturesOf(at);
  detail.replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, `Row ${rows.rows[at]}`), ...buttons),
    make("div", { className: pictures.length > 1 ? "pictures several" : "pictures" }, ...pictures),
    factsOf(at),
    make("p", { className: "file" }, name, copy),
  );
}

function detailButton(sign, name, action) {
  const button = make("button", { type: "button", className: "sign", "aria-label": name }, sign);
  button.addEventListener("click", () => {
    action();
    document.querySelector(`#detail [aria-label="${name}"]`)?.focus({ preventScroll: true });
  });
  return button;
}

function largePicture(rows, tile, kind, caption) {
  const picture = make("canvas", {});
  const longest = Math.max(rows.layout.width, rows.layout.height);
  picture.style.aspectRatio = `${rows.layout.width} / ${rows.layout.height}`;
  picture.className = longest <= 48 ? "coarse" : "";
  paint(picture, rows, tile, kind);
  return make("figure", {}, picture, make("figcaption", {}, caption));
}

function picturesOf(at) {
  const { rows } = state;
  const place = rows.moved?.places.get(at);
  if (place === undefined) return [largePicture(rows, at, "sheet", rows.classes[rows.labels[at]])];
  const largest = rows.moved.largest[place];
  const magnified = largest ? `difference × ${short(0.5 / largest)}` : "no difference";
  return [
    largePicture(rows, at, "sheet", `clean: ${rows.classes[rows.labels[at]]}`),
    largePicture(rows, 2 * place, "moved", `perturbed: ${rows.classes[rows.moved.predictions[place]]}`),
    largePicture(rows, 2 * place + 1, "moved", magnified),
  ];
}

function factsOf(at) {
  const { rows } = state;
  const facts = [["class", rows.classes[rows.labels[at]]]];
  for (const each of rows.predictions) facts.push([each.name, rows.classes[each.codes[at]], each.codes[at] !== rows.labels[at]]);
  for (const facet of rows.facets) if (facet.names.length > 1) facts.push([facet.name, facet.names[facet.codes[at]]]);
  for (const each of rows.values) facts.push([each.name, Number.isNaN(each.numbers[at]) ? "none" : spelled(each.numbers[at], 6)]);
  const place = rows.moved?.places.get(at);
  if (place !== undefined) facts.push(["largest change", spelled(rows.moved.largest[place], 4)]);
  const lines = facts.map(([name, text, isWrong]) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", { className: isWrong ? "wrong" : "" }, isWrong ? `${text} ≠` : text)),
  );
  return make("table", { className: "facts" }, make("tbody", {}, ...lines));
}

function toCopy(at) {
  const { rows } = state;
  return rows.files && rows.files[at] ? rows.files[at] : String(rows.rows[at]);
}

async function copyName() {
  const at = state.shown[state.active];
  if (at === undefined) return;
  const text = toCopy(at);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // where a page may not use the clipboard, as inside another page
  }
  say(`Copied ${text}`);
}

function copyBySelection(text) {
  const area = make("textarea", { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

let silence;

function say(text) {
  find("said").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (find("said").textContent = ""), 2500);
}

// ---- the list as a file, for `rows` of a study or a spreadsheet

function saveRows() {
  const { rows } = state;
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = state.shown.map((at) => (rows.files ? `${rows.rows[at]},${quoted(rows.files[at])}` : String(rows.rows[at])));
  const text = `${rows.files ? "row,file" : "row"}\n${lines.join("\n")}\n`;
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "rows.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- keyboard

function isTyping(target) {
  return target.tagName === "SELECT" || (target.tagName === "INPUT" && target.type !== "checkbox");
}

function escape() {
  if (document.body.classList.contains("filtering")) showFilters(false);
  else if (state.isOpen) look(state.active, false);
  else if (find("query").value) clearQuery();
  else look(-1);
  grid.focus({ preventScroll: true });
}

function clearQuery() {
  find("query").value = "";
  state.query = "";
  update();
}

function go(place) {
  if (state.shown.length) look(Math.min(state.shown.length - 1, Math.max(0, place)));
}

function firstInSight() {
  const { line, across } = geometry();
  return Math.ceil((grid.scrollTop - GAP) / line) * across;
}

function move(by) {
  go(state.active < 0 ? firstInSight() : state.active + by);
}

const isOnButton = (target) => target.closest?.("button, input, select, a, summary");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return escape();
  if (isTyping(event.target)) return undefined;
  const { across, line } = geometry();
  const lines = Math.max(1, Math.floor(grid.clientHeight / line));
  const actions = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    ArrowUp: () => move(-across),
    ArrowDown: () => move(across),
    PageUp: () => move(-across * lines),
    PageDown: () => move(across * lines),
    Home: () => go(0),
    End: () => go(state.shown.length - 1),
    "/": () => find("query").focus(),
    c: () => copyName(),
  };
  if (!isOnButton(event.target)) actions.Enter = () => state.active >= 0 && look(state.active, true);
  const action = actions[event.key];
  if (!action) return undefined;
  event.preventDefault();
  return action();
});

// ---- controls

function showFilters(isShown) {
  document.body.classList.toggle("filtering", isShown);
  find("open-filters").setAttribute("aria-expanded", String(isShown));
  if (isShown) find("close-filters").focus({ preventScroll: true });
}

function fillSorts() {
  const { rows } = state;
  const options = rows.values.flatMap((each, index) => [
    [`${index} up`, `${each.name}, low first`],
    [`${index} down`, `${each.name}, high first`],
    ...(each.cuts.length ? [[`${index} near`, `${each.name}, nearest to the cut`]] : []),
  ]);
  const all = [...options, ["row", "row number"], ["class", "class"]];
  find("sort").replaceChildren(...all.map(([value, text]) => make("option", { value }, text)));
  find("sort").value = state.sort;
  find("value").replaceChildren(...rows.values.map((each, index) => make("option", { value: index }, each.name)));
}

function fillAbout() {
  const { rows } = state;
  const save = make("button", { type: "button", id: "save" }, "Save these rows (CSV)");
  save.addEventListener("click", saveRows);
  const legend = rows.predictions.length ? [`≠ on a picture: ${rows.predictions[0].name} is not the label.`] : [];
  const keys = "Keys: arrows move, Enter opens a row, Esc closes it, c copies its name, / finds.";
  find("about").replaceChildren(save, ...[...legend, ...rows.notes, keys].map((text) => make("p", { className: "quiet" }, text)));
}

// Sizes are whole multiples of a small picture, so that its pixels stay square.
function fillSizes() {
  const longest = Math.max(state.rows.layout.width, state.rows.layout.height);
  const step = longest > 48 ? 0.5 : 1;
  const size = find("size");
  size.max = String(Math.max(1, Math.floor(160 / longest / step) - 1));
  size.dataset.step = String(step);
  const usual = window.innerWidth < 700 ? 60 : 72;
  size.value = String(Math.max(0, Math.round(usual / longest / step) - 1));
  state.size = (Number(size.value) + 1) * step;
}

function fillTabs() {
  const tabs = collections.map((rows) => {
    const tab = make("button", { type: "button", role: "tab" }, rows.name);
    tab.setAttribute("aria-selected", String(rows === state.rows));
    tab.addEventListener("click", () => open(rows));
    return tab;
  });
  find("tabs").replaceChildren(...tabs);
  find("tabs").hidden = collections.length < 2;
}

function open(rows) {
  state.rows = rows;
  state.shown = [];
  startState();
  find("query").value = "";
  find("sample").textContent = rows.sample;
  find("sample").hidden = !rows.sample;
  fillTabs();
  fillSorts();
  fillSizes();
  fillAbout();
  drawCuts();
  grid.scrollTop = 0;
  update();
}

function listen(id, event, action) {
  find(id).addEventListener(event, action);
}

listen("query", "input", () => {
  state.query = find("query").value;
  update();
});
listen("sort", "change", () => {
  state.sort = find("sort").value;
  grid.scrollTop = 0;
  update();
});
listen("value", "change", () => {
  Object.assign(state, { value: Number(find("value").value), low: -Infinity, high: Infinity });
  drawCuts();
  update();
});
listen("size", "input", () => {
  state.size = (Number(find("size").value) + 1) * Number(find("size").dataset.step);
  drawGrid(true);
  scrollTo(state.active);
});
listen("low", "input", () => moveHandle("low"));
listen("high", "input", () => moveHandle("high"));
listen("low-number", "change", () => typeEnd("low"));
listen("high-number", "change", () => typeEnd("high"));
listen("class-order", "click", () => {
  state.classesByShare = !state.classesByShare;
  drawClasses();
});
listen("reset", "click", () => {
  const { sort, classesByShare } = state; // how rows are ordered is no filter
  startState();
  Object.assign(state, { sort, classesByShare, shown: [] });
  find("query").value = "";
  find("value").value = "0";
  drawCuts();
  update();
});
listen("open-filters", "click", () => showFilters(!document.body.classList.contains("filtering")));
listen("close-filters", "click", () => showFilters(false));
grid.addEventListener("scroll", () => requestAnimationFrame(() => drawGrid()), { passive: true });
new ResizeObserver(() => drawGrid(true)).observe(grid);

find("title").textContent = page.title;
find("facts").replaceChildren(...page.facts.map((fact) => make("span", {}, fact)));
open(collections[0]);
