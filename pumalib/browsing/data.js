"use strict";
// The page of `puma browse`. Plain JavaScript, in this order: data, filters, value, grid, row, controls; one script.

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
