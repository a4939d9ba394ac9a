// The wall: choose a model and conditions, and works appear as they are drawn; more of them on scrolling.
import { listen, models } from "./api.js";
import { blame, controlsOf, GROUNDS } from "./controls.js";
import { h, plain, problemBox, say } from "./dom.js";
import { hasFavourites, onChange } from "./kept.js";
import { format, newSeed, parse } from "./recipe.js";
import { emptyTile, hang, leaveEmpty, makeCurrent, wallOf } from "./tile.js";

const CHUNK = 48; // works of one stream
const MOST = 1200; // works of one wall: the next ones are another wall
const AHEAD = "1000px"; // below what is seen, that is drawn already
const SLIDER_PAUSE = 120; // ms

/** The page. Its wall goes on where its address says. */
export async function wallPage({ search }) {
  const all = await models();
  if (!all.length) return { title: "Wall", address: () => "", element: problemBox({ message: "No model is served yet: put one into the folder models/ and reload." }, () => location.reload()) };
  const wall = new Wall(all, parse(search.slice(1)));
  wall.start();
  return { title: "Wall", element: wall.element, address: () => wall.address };
}

onChange(() => document.querySelectorAll("a.taste").forEach((link) => (link.hidden = !hasFavourites())));

class Wall {
  constructor(all, wish) {
    this.all = newest(all);
    this.served = all;
    this.wish = { ...wish, seed: wish.seed ?? newSeed(), index: wish.index };
    this.model = this.find(wish.model) ?? this.largest();
    this.wish.model ??= this.model.name;
    if (this.model.channels === 4) this.wish.background ??= GROUNDS[0][0];
    this.panel = h("div", { class: "panel-body" });
    this.notes = h("div", { class: "notes" });
    this.list = wallOf();
    this.sentinel = h("div", { class: "sentinel" });
    this.taste = h("a", { class: "button taste", hidden: !hasFavourites() }, "More like what you like");
    this.element = this.page();
    this.observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.more(), { rootMargin: AHEAD });
    this.observer.observe(this.sentinel);
  }

  find(name = "") {
    const [bare, version] = name.split("@");
    return this.served.find((model) => model.name === bare && (!version || model.version === Number(version)));
  }

  largest() {
    return this.all.reduce((best, model) => (model.width * model.height > best.width * best.height ? model : best));
  }

  page() {
    const panel = h("details", { class: "panel", open: matchMedia("(min-width: 60rem)").matches },
      h("summary", {}, "What to draw"), this.panel);
    const again = h("button", { type: "button", class: "primary", onclick: () => this.another() }, "Draw others");
    return h("div", { class: "wall-page" },
      h("aside", {}, h("h1", { tabindex: "-1" }, "The wall"),
        h("p", { class: "lead" }, "Every work here is drawn for you, now, and there is only one of it."), h("div", { class: "actions" }, again, this.taste), panel),
      h("section", { "aria-label": "Works" }, this.notes, this.list, this.sentinel));
  }

  start() {
    this.drawPanel();
    this.restart();
  }

  drawPanel() {
    const chips = this.all.map((model) =>
      h("button", { type: "button", class: "chip", "aria-pressed": String(model.name === this.model.name), onclick: () => this.choose(model) }, plain(model.name)));
    const choice = h("fieldset", { "data-field": "model" }, h("legend", {}, "Model"), h("div", { class: "chips" }, chips),
      h("p", { class: "hint" }, this.model.description ?? ""));
    const seed = h("input", { value: this.wish.seed, inputmode: "numeric", onchange: (event) => ((this.wish.seed = event.target.value.trim()), this.changed()) });
    this.panel.replaceChildren(choice, controlsOf(this.model, this.wish, () => this.changed()),
      h("fieldset", { "data-field": "seed" }, h("legend", {}, "Seed"), h("label", {}, h("span", { class: "unseen" }, "Seed"), seed),
        h("p", { class: "hint" }, "The same seed draws the same wall.")));
    this.seed = seed;
  }

  choose(model) {
    this.model = model;
    this.wish = { model: model.name, seed: this.wish.seed, where: {}, background: model.channels === 4 ? GROUNDS[0][0] : undefined };
    this.drawPanel();
    this.changed();
  }

  another() {
    this.wish.seed = this.seed.value = newSeed();
    this.changed(0);
  }

  /** Sliders change many times a second: the wall begins again once they rest. */
  changed(pause = SLIDER_PAUSE) {
    clearTimeout(this.timer);
    this.wish.index = undefined;
    this.timer = setTimeout(() => this.restart(), pause);
  }

  restart() {
    this.end?.();
    this.end = null;
    this.held = 0;
    blame(this.panel, null);
    this.notes.replaceChildren();
    this.list.replaceChildren();
    this.address = `/?${format(this.wish)}`;
    this.taste.href = `/taste?${format({ ...this.wish, seed: undefined, index: undefined, recipe: undefined })}`;
    if (location.pathname === "/") history.replaceState(history.state, "", this.address);
    this.more();
  }

  /** Draw the next works: places for all of them at once, so that nothing moves when they arrive. */
  more() {
    if (this.end || !this.element) return;
    if (this.held >= MOST) return this.full();
    const first = Number(this.wish.index ?? 0) + this.held;
    const tiles = Array.from({ length: CHUNK }, emptyTile);
    for (const tile of tiles) tile.style.aspectRatio = `${this.model.width} / ${this.model.height}`;
    this.list.append(...tiles);
    const start = this.held;
    this.held += CHUNK;
    this.list.setAttribute("aria-busy", "true");
    this.end = listen(`/api/wall?${format({ ...this.wish, index: first })}&count=${CHUNK}`, {
      work: (work) => {
        hang(tiles[work.index - first], work);
        if (work.index === first && start === 0) makeCurrent(this.list, tiles[0]);
        if (say.lost) say((say.lost = ""));
      },
      refused: (refused, id) => leaveEmpty(tiles[Number(id) - first], refused),
      waiting: () => say((say.lost = "The connection was lost. It goes on by itself where it was.")),
      problem: (problem) => this.problem(problem, tiles),
      finished: () => this.finished(),
    });
  }

  finished() {
    this.end = null;
    this.list.removeAttribute("aria-busy");
    if (this.sentinel.getBoundingClientRect().top < innerHeight + parseInt(AHEAD) && this.sentinel.offsetParent) this.more();
  }

  problem(problem, tiles) {
    this.end = () => {}; // nothing more until something changes
    for (const tile of tiles) if (!tile.firstChild) tile.remove();
    this.list.removeAttribute("aria-busy");
    if (!blame(this.panel, problem)) this.notes.replaceChildren(problemBox(problem, () => this.restart()));
    else this.panel.closest("details").open = true;
  }

  full() {
    this.observer.disconnect();
    const next = format({ ...this.wish, index: Number(this.wish.index ?? 0) + this.held });
    this.sentinel.replaceChildren(h("p", {}, `These are ${this.held} works. `, h("a", { href: `/?${next}` }, "The next wall")));
  }
}

/** The newest version of each model; others are reached by their addresses. */
function newest(all) {
  const found = new Map();
  for (const model of all) if ((found.get(model.name)?.version ?? 0) < model.version) found.set(model.name, model);
  return [...found.values()];
}

