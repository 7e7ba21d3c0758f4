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
