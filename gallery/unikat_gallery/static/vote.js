// Voting on pairs: two pictures, one question, answered by a click, a tap, or the keys ← and →.
import { h, problemBox, say } from "./dom.js";
import { get, send } from "./api.js";

const QUESTIONS = { like: "Which do you like?", artist: "Which is by the artist?" };
const KEYS = { ArrowLeft: "left", ArrowRight: "right", 1: "left", 2: "right" };

/** A picture that is there as a whole, so that neither side of a pair is seen before the other one. */
async function loaded(address) {
  const image = h("img", { src: address, alt: "" });
  await image.decode();
  return image;
}

async function nextPair(ask) {
  const pair = await send("POST", "/api/vote", ask ? { ask } : {});
  const [left, right] = await Promise.all([loaded(pair.left), loaded(pair.right)]);
  return { ...pair, images: { left, right } };
}

export async function votePage() {
  const { asked, ...progress } = await get("/api/vote");
  const heading = h("h1", { tabindex: "-1" }, "Two pictures");
  const pairBox = h("div", { class: "pair" });
  const count = h("p", { class: "hint", "aria-live": "polite" });
  const taste = h("p", { class: "hint" });
  let ask = asked.length > 1 ? "" : "like";
  let shown = null; // the pair that is answered now
  let coming = null; // the promise of the next one, made while this one is looked at
  let turn = 0;

  const tell = ({ answered, ready }) => {
    count.textContent = `${answered} answered.`;
    taste.replaceChildren(ready ? h("a", { href: "/taste" }, "A wall of what you like") : `After about ten answers to “${QUESTIONS.like}” there is a wall of what you like.`);
  };

  const show = async () => {
    const number = ++turn;
    pairBox.setAttribute("aria-busy", "true");
    try {
      const next = await (coming ?? nextPair(ask));
      coming = null;
      if (number !== turn) return;
      shown = next;
      heading.textContent = QUESTIONS[next.question];
      pairBox.replaceChildren(...["left", "right"].map((place) => choice(place, next)));
      pairBox.removeAttribute("aria-busy");
      coming = nextPair(ask);
      coming.catch(() => {}); // said when it is to be shown
    } catch (problem) {
      coming = shown = null;
      if (number === turn) {
        pairBox.removeAttribute("aria-busy");
        pairBox.replaceChildren(problemBox(problem, show));
      }
    }
  };

  const choice = (place, pair) =>
    h("button", { type: "button", class: "choice", "aria-label": `The ${place} one`, "aria-keyshortcuts": place === "left" ? "ArrowLeft" : "ArrowRight", onclick: () => choose(place) }, pair.images[place]);

  const choose = async (place) => {
    const pair = shown;
    if (!pair) return;
    shown = null;
    const button = pairBox.querySelectorAll(".choice")[place === "left" ? 0 : 1];
    button?.classList.add("chosen");
    const hadFocus = pairBox.contains(document.activeElement);
    try {
      tell(await send("POST", `/api/vote/${pair.pair}`, { chosen: place }));
    } catch (problem) {
      say(problem.message);
    }
    await show();
    if (hadFocus) pairBox.querySelectorAll(".choice")[place === "left" ? 0 : 1]?.focus();
  };

  const onKey = (event) => {
    const place = KEYS[event.key];
    if (!place || event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
    if (event.key.startsWith("Arrow") && event.target.closest("input, select")) return; // there they choose the question
    event.preventDefault();
    choose(place);
  };

  const wish = (value, text) =>
    h("label", {}, h("input", { type: "radio", name: "ask", value, checked: value === ask, onchange: () => { ask = value; coming = null; show(); } }), text);
  const wishes = asked.length > 1 ? h("fieldset", { class: "wishes" }, h("legend", { class: "unseen" }, "What you are asked"), wish("", "Both questions"), wish("like", "What I like"), wish("artist", "What is by the artist")) : null;

  tell(progress);
  document.addEventListener("keydown", onKey);
  show();
  return {
    title: "Vote",
    element: h("div", { class: "page vote" }, heading, pairBox, h("p", { class: "hint" }, "Choose by a click, a tap, or the keys ← and → (or 1 and 2)."), count, taste, wishes,
      h("details", {}, h("summary", {}, "What happens with the answers"), h("p", {}, "They are counted, with the random number in this site's cookie and nothing else of you: which versions of the model people like more, and how often its drawings are taken for the artist's. Some pairs come twice, and some have one side in pieces: so it is seen how sure the answers are. The works are drawn for you, by lot."))),
    leave: () => document.removeEventListener("keydown", onKey),
  };
}

export async function tastePage({ search }) {
  const models = (await get("/api/models")).models;
  const asked = new URLSearchParams(search);
  if (!asked.get("model")) asked.set("model", models[0]?.name ?? "");
  if (!(await get("/api/vote")).ready) return { title: "What you like", element: unknownTaste() };
  const wall = await send("POST", `/api/taste?${asked}`);
  const { preferred, variety, plain_variety } = wall.cost;
  const kept = plain_variety ? Math.round((100 * variety) / plain_variety) : 100;
  const record = URL.createObjectURL(new Blob([JSON.stringify(wall.record, null, 1)], { type: "application/json" }));
  const again = () => dispatchEvent(new CustomEvent("visit", { detail: `/taste?${asked}` }));
  return {
    title: "What you like",
    element: h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "A wall of what you like"),
      h("p", { class: "lead" }, `Each work is the best of ${wall.record.candidates} that were drawn for its place, by ${wall.record.taste.pairs} answers of yours.`),
      h("p", {}, `You would like it rather than the first of them with a chance of ${Math.round(100 * preferred)} %, if your answers are understood. The works differ from one another by ${kept} % of what they would without a choice.`),
      h("ul", { class: "liked" }, wall.works.map((work) => h("li", {}, h("a", { href: `/work?${work.link}` }, h("img", { src: work.image, width: work.width, height: work.height, alt: `Work ${work.id}` }))))),
      h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: again }, "More of these"), h("a", { class: "button", href: "/vote" }, "Answer more pairs"), h("a", { class: "button", href: record, download: "wall.json" }, "How it was chosen"))),
    leave: () => URL.revokeObjectURL(record),
  };
}

function unknownTaste() {
  return h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "A wall of what you like"),
    h("p", { class: "lead" }, "It is learnt from pairs that you choose from: favourites do not say what you like less. About ten answers are enough."),
    h("div", { class: "actions" }, h("a", { class: "button primary", href: "/vote" }, "Answer pairs")));
}
