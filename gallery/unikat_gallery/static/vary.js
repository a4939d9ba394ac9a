// Variations of a work: a radius, and a grid of works that are drawn as near to it as that.
import { listen } from "./api.js";
import { blame } from "./controls.js";
import { h, problemBox } from "./dom.js";
import { newSeed } from "./recipe.js";
import { slider } from "./slider.js";
import { emptyTile, hang, leaveEmpty, makeCurrent, wallOf } from "./tile.js";

export const VARIATIONS = 12;
const PAUSE = 120; // ms that a slider rests before they are drawn again

/** A row of `count` works that are drawn as near to another as `radius`; `draw(link, radius, by)` begins it again. */
export function variationsOf(width, height, count = VARIATIONS) {
  const list = wallOf();
  const notes = h("div", {});
  const element = h("div", {}, notes, list);
  let end = null;
  const draw = (link, radius, by) => {
    end?.();
    const tiles = Array.from({ length: count }, emptyTile);
    for (const tile of tiles) tile.style.aspectRatio = `${width} / ${height}`;
    const kept = [...list.children]; // they stay until there is another one in their place
    const place = (index, fill) => ((kept[index] ?? tiles[index]).replaceWith(tiles[index]), fill(tiles[index]));
    if (!kept.length) list.replaceChildren(...tiles);
    notes.replaceChildren();
    end = listen(`/api/vary?${link}&radius=${radius}&by=${by}&count=${count}`, {
      work: (work) => place(work.index, (tile) => (hang(tile, work), work.index === 0 && makeCurrent(list, tile))),
      refused: (refused, id) => place(Number(id), (tile) => leaveEmpty(tile, refused)),
      problem: (problem) => blame(element.closest("section") ?? element, problem) || notes.replaceChildren(problemBox(problem, () => draw(link, radius, by))),
    });
  };
  return { element, draw, stop: () => end?.() };
}

/** The part of a work's page. `work` is what is shown there; `refresh` is told that it has changed. */
export function varied(work) {
  const row = variationsOf(work.width, work.height);
  let radius = 0.3;
  let by = newSeed();
  let timer;
  const draw = () => row.draw(work.link, radius, by);
  const later = () => (clearTimeout(timer), (timer = setTimeout(draw, PAUSE)));
  const near = slider({ label: "Radius", min: "0.05", max: "1", step: "0.05", value: "0.3", words: (number) => number.toFixed(2) },
    (number) => ((radius = number), later()));
  const others = h("button", { type: "button", onclick: () => ((by = newSeed()), draw()) }, "Draw others");
  const panel = h("details", { class: "panel" }, h("summary", {}, "Vary"),
    h("p", { class: "hint" }, "Works near this one. Left: almost the same. Right: strangers with its conditions."),
    h("div", { class: "row-tools", "data-field": "radius" }, near, others), row.element);
  panel.addEventListener("toggle", () => (panel.open ? draw() : row.stop()));
  return Object.assign(h("section", { class: "wide", "aria-label": "Variations" }, panel), {
    refresh: () => panel.open && later(),
    leave: () => (clearTimeout(timer), row.stop()),
  });
}
