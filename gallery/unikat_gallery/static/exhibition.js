// An exhibition: the works of an album, one after the other on a whole screen, with fresh ones between them.
import { get } from "./api.js";
import { h, say } from "./dom.js";
import { format, newSeed, parse, place, sentence, subtitle, title } from "./recipe.js";
import { zoomed } from "./zoom.js";

const STAY = 12000; // ms that a work hangs

export async function exhibitionPage({ id }) {
  const album = await get(`/api/albums/${id}`);
  if (!album.works.length) throw new Error("This album is empty: put works into it, then hang it.");
  const show = new Exhibition(album);
  show.go(0);
  return { title: album.title, element: show.element, leave: () => show.close() };
}

class Exhibition {
  constructor(album) {
    this.album = album;
    this.at = 0;
    this.fresh = null;
    this.stage = h("div", { class: "stage" });
    this.pause = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.toggle() }, "Pause");
    this.withFresh = h("input", { type: "checkbox", checked: true });
    const button = (words, act) => h("button", { type: "button", class: "quiet", onclick: act }, words);
    this.element = h("div", { class: "exhibition" }, h("h1", { class: "unseen", tabindex: "-1" }, album.title), this.stage,
      h("div", { class: "exhibition-tools", role: "group", "aria-label": "Exhibition" },
        button("←", () => this.go(-1)), this.pause, button("→", () => this.go(1)),
        h("label", {}, this.withFresh, " fresh works between them"), button("Full screen", () => this.full()),
        h("a", { class: "quiet button", href: `/album/${album.id}` }, "Leave")));
    this.onkey = (event) => this.key(event);
    addEventListener("keydown", this.onkey);
    document.body.classList.add("exhibiting");
  }

  close() {
    clearTimeout(this.timer);
    this.closed = true;
    removeEventListener("keydown", this.onkey);
    document.body.classList.remove("exhibiting");
    if (document.fullscreenElement) document.exitFullscreen();
  }

  key(event) {
    if (event.target.closest("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") this.go(1);
    else if (event.key === "ArrowLeft") this.go(-1);
    else if (event.key === "f") this.full();
    else if (event.key === " " && !event.target.closest("button, a")) event.preventDefault(), this.toggle();
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen().catch(() => say("This browser shows no page on the whole screen."));
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.setAttribute("aria-pressed", String(this.paused));
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    this.plan();
  }

  plan() {
    clearTimeout(this.timer);
    if (!this.paused && !this.closed) this.timer = setTimeout(() => this.go(1), STAY);
  }

  /** Hang the next work: a fresh one in its turn where one was drawn meanwhile. */
  async go(by) {
    const works = this.album.works;
    if (by > 0 && this.fresh && this.withFresh.checked) {
      this.hang(this.fresh, "Drawn just now");
      this.fresh = null;
    } else {
      this.at = (this.at + by + works.length) % works.length;
      this.hang(works[this.at], `${this.at + 1} of ${works.length}`);
      this.drawFresh(works[this.at]);
    }
    this.plan();
  }

  hang(work, number) {
    const recipe = parse(work.link);
    this.stage.replaceChildren(zoomed({ width: 64, height: 64, ...work }, sentence(recipe), { tools: false }),
      h("aside", { class: "plate" }, h("p", { class: "kicker" }, this.album.title, " · ", number), h("h2", {}, title(recipe)), h("p", {}, subtitle(recipe)), h("p", { class: "hint" }, place(recipe)),
        h("img", { class: "code", src: `/code.svg?${work.link}`, alt: "QR code of this work's page", width: "176", height: "176" })));
    this.stage.classList.remove("in");
    requestAnimationFrame(() => this.stage.classList.add("in"));
  }

  /** A work of the same conditions and another seed, while this one hangs. */
  async drawFresh(work) {
    const link = format({ ...parse(work.link), recipe: undefined, seed: newSeed(), index: 0, attempt: undefined });
    try {
      this.fresh = await get(`/api/work?${link}`);
      if (!this.closed) new Image().src = this.fresh.image;
    } catch {
      this.fresh = null; // the album goes on without
    }
  }
}
