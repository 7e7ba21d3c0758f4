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
