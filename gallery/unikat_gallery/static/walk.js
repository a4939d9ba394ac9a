// A walk between favourites, as a film: its frames are drawn in order, and played on a canvas.
import { listen, request } from "./api.js";
import { h, problemBox, say } from "./dom.js";
import { keptWorks } from "./kept.js";
import { parse, sentence } from "./recipe.js";
import { slider } from "./slider.js";

const FPS = 16;
const MOST_WORKS = 8;
const MOST_SIDE = 512; // pixels of the screen that a frame is enlarged to at most

export async function walkPage({ search }) {
  const works = await keptWorks();
  const said = new URLSearchParams(search);
  const wish = { links: said.getAll("w"), frames: Number(said.get("frames") ?? 48) || 48, loop: said.get("loop") === "1" };
  const query = () => [...wish.links.map((link) => `w=${encodeURIComponent(link)}`), `frames=${wish.frames}`, `loop=${wish.loop ? 1 : 0}`].join("&");
  const film = playerOf();
  const changed = () => {
    history.replaceState(history.state, "", `/walk?${query()}`);
    show();
    if (wish.links.length > 1) film.play(query(), wish);
    else film.stop();
    film.element.hidden = wish.links.length < 2;
  };
  const tiles = works.map((work) => ({ work, button: choice(work, () => {
    const at = wish.links.indexOf(work.link);
    if (at >= 0) wish.links.splice(at, 1);
    else if (wish.links.length < MOST_WORKS) wish.links.push(work.link);
    else return say(`A walk passes at most ${MOST_WORKS} works.`);
    changed();
  }) }));
  const show = () => {
    const model = wish.links.length ? parse(wish.links[0]).model : null;
    for (const { work, button } of tiles) {
      const at = wish.links.indexOf(work.link);
      button.setAttribute("aria-pressed", String(at >= 0));
      button.disabled = model !== null && parse(work.link).model !== model;
      button.querySelector("span").textContent = at >= 0 ? at + 1 : "";
    }
  };
  let timer;
  const length = slider({ label: "Frames", min: "8", max: "96", step: "8", value: String(wish.frames), words: String },
    (frames) => ((wish.frames = frames), clearTimeout(timer), (timer = setTimeout(changed, 250))));
  const loop = h("input", { type: "checkbox", checked: wish.loop, onchange: () => ((wish.loop = loop.checked), changed()) });
  const element = h("article", { class: "page" }, h("h1", { tabindex: "-1" }, "A walk between works"),
    h("p", { class: "lead" }, works.length > 1 ? "Choose two or more of your favourites, in the order in which the walk passes them." : "Keep two works first, with their hearts: a walk goes from one favourite to another."),
    works.length > 1 ? [h("ul", { class: "wall choices" }, tiles.map(({ button }) => h("li", { class: "tile" }, button))),
      h("div", { class: "row-tools" }, length, h("label", {}, loop, " Back to the first"))] : null, film.element);
  changed();
  return { title: "A walk", element, leave: () => (clearTimeout(timer), film.stop()) };
}

const choice = (work, act) => h("button", { type: "button", class: "choose", "aria-pressed": "false", "aria-label": sentence(parse(work.link)), onclick: act },
  h("img", { src: work.image, alt: "" }), h("span", { class: "order" }));

/** A canvas with its controls; `play(query, {frames, loop})` draws another film. */
function playerOf() {
  const canvas = h("canvas", { class: "exact", role: "img", "aria-label": "The walk" });
  const notes = h("div", {});
  const toggle = h("button", { type: "button", class: "primary", onclick: () => (state.playing ? pause() : start()) }, "Play");
  const scrubber = h("input", { type: "range", min: "0", value: "0", step: "1", "aria-label": "Frame" });
  const output = h("output", {});
  const open = h("a", { class: "button" }, "Open this frame");
  const save = h("button", { type: "button", onclick: () => saved(state.query, notes) }, "Save as WebP");
  const state = { frames: [], at: 0, playing: false, query: "", total: 0, loop: false };
  let end = null;
  let clock = 0; // of the frame that is shown
  const show = (at) => {
    const frame = state.frames[at];
    if (!frame) return;
    state.at = at;
    const { image, work } = frame;
    const times = Math.max(1, Math.floor(Math.min(MOST_SIDE, canvas.parentElement.clientWidth) / work.width));
    if (canvas.width !== work.width || canvas.height !== work.height) Object.assign(canvas, { width: work.width, height: work.height });
    canvas.style.width = `${work.width * times}px`;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0);
    scrubber.value = String(at);
    output.textContent = `${at + 1} of ${state.total}`;
    open.href = `/work?${work.link}`;
  };
  const tick = (now) => {
    if (!state.playing) return;
    requestAnimationFrame(tick);
    if (now - clock < 1000 / FPS) return;
    clock = now;
    const next = state.at + 1;
    if (next < state.total) show(next); // one that is not drawn yet is waited for
    else if (state.loop) show(0);
    else pause();
  };
  const start = () => {
    if (state.at === state.total - 1) show(0);
    state.playing = true;
    toggle.textContent = "Pause";
    requestAnimationFrame(tick);
  };
  const pause = () => ((state.playing = false), (toggle.textContent = "Play"));
  const stop = () => (end?.(), pause());
  scrubber.addEventListener("input", () => (pause(), show(Number(scrubber.value))));
  const play = (query, { frames, loop }) => {
    stop();
    notes.replaceChildren();
    Object.assign(state, { frames: [], at: -1, query, total: frames, loop });
    scrubber.max = String(frames - 1);
    end = listen(`/api/film?${query}`, {
      work: async (work) => {
        const mine = state.frames;
        const image = new Image();
        image.src = work.image;
        await image.decode();
        if (mine !== state.frames) return;
        mine[work.index] = { image, work };
        if (work.index === 0) show(0);
      },
      problem: (problem) => notes.replaceChildren(problemBox(problem, () => play(query, { frames, loop }))),
    });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
  };
  const element = h("section", { class: "film", "aria-label": "Film", hidden: true }, h("div", { class: "screen" }, canvas),
    h("div", { class: "row-tools" }, toggle, h("label", { class: "slider" }, h("span", { class: "unseen" }, "Frame"), scrubber, output), open, save), notes);
  return { element, play, stop };
}

/** Take the film along as a file. */
async function saved(query, notes) {
  notes.replaceChildren(h("p", { class: "hint" }, "The film is encoded…"));
  try {
    const url = URL.createObjectURL(await (await request(`/film.webp?${query}&fps=${FPS}`)).blob());
    h("a", { href: url, download: "walk.webp" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    notes.replaceChildren();
  } catch (problem) {
    notes.replaceChildren(problemBox(problem));
  }
}
