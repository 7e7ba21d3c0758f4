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
