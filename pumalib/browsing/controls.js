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
