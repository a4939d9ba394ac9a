// Crosses: a work between two, a slider for the share of each, and a row of children. And what a work comes of.
import { get } from "./api.js";
import { blame } from "./controls.js";
import { h, problemBox, say } from "./dom.js";
import { keptWorks } from "./kept.js";
import { format, newSeed, parse, place, sentence, terms } from "./recipe.js";
import { slider } from "./slider.js";
import { variationsOf } from "./vary.js";
import { zoomed } from "./zoom.js";

const CHILDREN = 6;
const RADIUS = 0.25; // of the children around the cross
const PAUSE = 250; // ms that the slider rests before they are drawn
const MOST_PARENTS = 6; // of a lineage, the largest shares
const DRAGGED = "application/x-unikat-work";

/** The address at which two works are crossed. */
export const crossing = (one, other) => `/cross?one=${encodeURIComponent(one)}&other=${encodeURIComponent(other)}`;

export async function crossPage({ search }) {
  const said = new URLSearchParams(search);
  const [one, other] = await Promise.all(["one", "other"].map((name) => get(`/api/work?${said.get(name) ?? ""}`)));
  const ask = (share, options) => get(`/api/cross?${search.slice(1).replace(/&share=[^&]*/, "")}&share=${share}`, options);
  let share = Math.min(1, Math.max(0, Number(said.get("share") ?? 0.5))) || 0;
  let child = await ask(share);
  const picture = zoomed(child, sentence(parse(child.link)), { tools: false });
  const caption = h("figcaption", {});
  const children = variationsOf(child.width, child.height, CHILDREN);
  const by = newSeed();
  const notes = h("div", {});
  let asked = null; // the request that is under way: a later one ends it
  let timer;
  const show = () => {
    caption.replaceChildren(h("a", { href: `/work?${child.link}` }, "Open this work"), h("br"), sentence(parse(child.link)));
    clearTimeout(timer);
    timer = setTimeout(() => children.draw(child.link, RADIUS, by), PAUSE);
  };
  const changed = async (number) => {
    share = number;
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const drawn = await ask(share, { signal: mine.signal });
      if (mine !== asked) return;
      child = drawn;
      notes.replaceChildren();
      picture.exchange(child, sentence(parse(child.link)));
      history.replaceState(history.state, "", `${crossing(one.link, other.link)}&share=${share}`);
      show();
    } catch (problem) {
      if (problem.name !== "AbortError" && mine === asked && !blame(element, problem)) notes.replaceChildren(problemBox(problem));
    }
  };
  const mixed = slider({ label: "Share of the second", min: "0", max: "1", step: "0.01", value: String(share), words: (number) => `${Math.round(100 * number)} %` }, changed);
  const element = h("article", { class: "page" }, h("h1", { tabindex: "-1" }, "A cross of two works"),
    h("p", { class: "lead" }, "What lies on the way from the first to the second. Conditions that differ are blended."),
    h("div", { class: "crossing" }, parent(one, "The first"), h("figure", { class: "child" }, picture, caption), parent(other, "The second")),
    h("div", { class: "row-tools", "data-field": "share" }, mixed,
      h("a", { class: "button", href: crossing(other.link, one.link) }, "Exchange")), notes,
    h("section", { "aria-label": "Children" }, h("h2", {}, "Children"), h("p", { class: "hint" }, "Variations of this cross, by a radius of 0.25."), children.element));
  show();
  return { title: "A cross", element, leave: () => (clearTimeout(timer), asked?.abort(), children.stop()) };
}

const parent = (work, name) => h("figure", {},
  h("a", { href: `/work?${work.link}` }, h("img", { src: work.image, alt: sentence(parse(work.link)), width: work.width, height: work.height })),
  h("figcaption", {}, h("span", { class: "hint" }, name), h("br"), sentence(parse(work.link))));

/** On a work's page: choose a favourite of the same model to cross it with. `work` is what is shown there. */
export function crossedWith(work) {
  const list = h("ul", { class: "wall" });
  const notes = h("p", { class: "hint" }, "One of your favourites of the same model.");
  const fill = async () => {
    try {
      const works = await keptWorks();
      const others = works.filter((each) => each.id !== work.id && parse(each.link).model === work.model);
      list.replaceChildren(...others.map((each) => h("li", { class: "tile" }, h("a", { class: "picture", href: crossing(work.link, each.link) },
        h("img", { src: each.image, alt: `Cross with ${sentence(parse(each.link))}`, decoding: "async" })))));
      if (!others.length) notes.textContent = `Keep another work of ${work.model} first, with its heart: favourites are what it can be crossed with.`;
    } catch (problem) {
      notes.replaceChildren(problemBox(problem, fill));
    }
  };
  const panel = h("details", { class: "panel" }, h("summary", {}, "Cross with…"), notes, list);
  panel.addEventListener("toggle", () => panel.open && fill());
  return Object.assign(h("section", { class: "wide", "aria-label": "Cross with a favourite" }, panel), { refresh: () => panel.open && fill() });
}

/** What a mixed work comes of, as a tree; null for an image of a seed. */
export function lineage(recipe) {
  if (!recipe.recipe) return null;
  const all = terms(recipe);
  const points = all.filter((term) => term.share).sort((a, b) => b.share - a.share);
  const branches = points.slice(0, MOST_PARENTS).map((point) => h("li", {}, point.seed === undefined ? `A vector, ${percent(point.share)}` : branch(recipe, point)));
  if (points.length > MOST_PARENTS) branches.push(h("li", {}, `${points.length - MOST_PARENTS} more`));
  branches.push(...all.filter((term) => term.direction).map((term) => h("li", {}, `moved ${term.strength} along direction ${term.direction}`)));
  return [h("h2", {}, "Lineage"), h("p", { class: "hint" }, "The points that its latent is mixed of, each drawn under its conditions."),
    h("ul", { class: "lineage" }, h("li", {}, "This work", h("ul", {}, branches)))];
}

const percent = (share) => (share < 0.01 ? "less than 1 %" : `${Math.round(100 * share)} %`);

function branch(recipe, { seed, index, share }) {
  const link = format({ ...recipe, recipe: undefined, seed, index });
  const image = h("img", { alt: "", width: 48, height: 48 });
  get(`/api/work?${link}`).then((work) => (image.src = work.image)).catch((problem) => say(problem.message));
  return h("a", { href: `/work?${link}` }, image, `${place({ model: recipe.model, seed, index }).replace(/^[^,]*, /, "")}: ${percent(share)}`);
}

/** A work that is dragged onto another one is crossed with it. */
export function dragging(linkOf) {
  const tileOf = (event) => event.target.closest?.(".tile:has(a.picture)");
  document.addEventListener("dragstart", (event) => {
    const tile = tileOf(event);
    if (tile && linkOf(tile)) event.dataTransfer.setData(DRAGGED, linkOf(tile));
  });
  document.addEventListener("dragover", (event) => {
    for (const old of document.querySelectorAll(".tile.target")) old.classList.remove("target");
    const tile = event.dataTransfer?.types.includes(DRAGGED) && tileOf(event);
    if (!tile) return;
    event.preventDefault();
    tile.classList.add("target");
  });
  document.addEventListener("drop", (event) => {
    const one = event.dataTransfer?.getData(DRAGGED);
    const other = one && tileOf(event) && linkOf(tileOf(event));
    if (!other) return;
    event.preventDefault();
    if (one === other) say("Drag it onto another work to cross the two.");
    else dispatchEvent(new CustomEvent("visit", { detail: crossing(one, other) }));
  });
  document.addEventListener("dragend", () => document.querySelectorAll(".tile.target").forEach((tile) => tile.classList.remove("target")));
}
