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
