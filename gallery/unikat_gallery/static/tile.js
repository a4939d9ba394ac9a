// Tiles: small pictures of works that lead to their pages, and the keys that move between them.
import { h } from "./dom.js";
import { isCompared, isFavourite, onChange, toggleCompared, toggleFavourite } from "./kept.js";
import { parse, sentence } from "./recipe.js";

const works = new WeakMap(); // tile -> work

/** The link of the work in a tile. */
export const linkOf = (tile) => works.get(tile)?.link;

/** A place on a wall, which keeps its size when its work arrives. */
export const emptyTile = () => h("li", { class: "tile", "aria-hidden": "true" });

/** Hang a work in a place. */
export function hang(tile, work, { onremove } = {}) {
  const words = sentence(parse(work.link));
  works.set(tile, work);
  tile.removeAttribute("aria-hidden");
  tile.replaceChildren(
    h("a", { href: `/work?${work.link}`, class: "picture", tabindex: "-1" },
      h("img", { src: work.image, alt: words, width: work.width, height: work.height, decoding: "async" })),
    h("div", { class: "tools" },
      tool("favourite", "Favourite", "♥", () => toggleFavourite(work)),
      tool("compare", "Compare", "◫", () => toggleCompared(work)),
      onremove ? tool("remove", "Remove", "✕", () => onremove(work, tile)) : null),
  );
  refresh(tile);
}

/** Say in a place that its work is not delivered. */
export function leaveEmpty(tile, refused) {
  tile.removeAttribute("aria-hidden");
  tile.classList.add("refused");
  const why = refused.reason === "NEAR_COPY" ? "Too near to a training picture" : "Not shown here";
  tile.replaceChildren(h("p", { title: refused.detail }, why));
}

function tool(name, label, sign, act) {
  const toggles = name !== "remove" ? { "aria-pressed": "false" } : {};
  return h("button", { type: "button", class: `tool ${name}`, "aria-label": label, title: label, tabindex: "-1", onclick: act, ...toggles }, sign);
}

function refresh(tile) {
  const work = works.get(tile);
  if (!work) return;
  tile.querySelector(".favourite").setAttribute("aria-pressed", isFavourite(work.id));
  tile.querySelector(".compare").setAttribute("aria-pressed", isCompared(work));
}

onChange(() => document.querySelectorAll(".tile").forEach(refresh));

/** A list of tiles with one stop of the tab key: arrows move on, f keeps, c compares. */
export function wallOf(tiles = []) {
  const list = h("ul", { class: "wall", "aria-label": "Works; arrow keys move, Enter opens, f keeps, c compares" }, tiles);
  list.addEventListener("keydown", (event) => onKey(list, event));
  list.addEventListener("focusin", (event) => makeCurrent(list, event.target.closest(".tile")));
  return list;
}

/** Which tile the tab key comes to. */
export function makeCurrent(list, tile) {
  if (!tile) return;
  for (const each of list.querySelectorAll('[tabindex="0"]')) each.tabIndex = -1;
  for (const each of tile.querySelectorAll("a, button")) each.tabIndex = 0;
}

function onKey(list, event) {
  const tile = event.target.closest(".tile");
  if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
  const work = works.get(tile);
  if (event.key === "f" && work) toggleFavourite(work);
  else if (event.key === "c" && work) toggleCompared(work);
  else if (event.key === "Delete") tile.querySelector(".remove")?.click();
  else if (!move(list, tile, event.key)) return;
  event.preventDefault();
}

function move(list, tile, key) {
  const tiles = [...list.querySelectorAll(".tile:has(a)")];
  const at = tiles.indexOf(tile);
  const top = tiles[0].offsetTop;
  const columns = Math.max(1, tiles.findIndex((each) => each.offsetTop !== top) === -1 ? tiles.length : tiles.findIndex((each) => each.offsetTop !== top));
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: tiles.length - 1 }[key];
  if (to === undefined) return false;
  tiles[to]?.querySelector("a").focus();
  return true;
}
