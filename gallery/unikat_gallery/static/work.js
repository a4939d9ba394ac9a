// A work's page: the picture, its recipe in words, what is known of it, and what can be done with it.
import { get, models, Problem, request, send } from "./api.js";
import { claimOf } from "./certificate.js";
import { changeOf } from "./change.js";
import { crossedWith, lineage } from "./cross.js";
import { askText, showText } from "./dialog.js";
import { capital, facts, h, plain, problemBox, say } from "./dom.js";
import { isCompared, isFavourite, onChange, toggleCompared, toggleFavourite } from "./kept.js";
import { blendWords, format, parse, place, sentence, subtitle, title } from "./recipe.js";
import { varied } from "./vary.js";
import { zoomed } from "./zoom.js";

export async function workPage({ search }) {
  const work = await get(`/api/work${search}`);
  const recipe = parse(work.link);
  const served = (await models()).find((model) => `${model.name}@${model.version}` === work.model);
  const picture = zoomed(work, sentence(recipe));
  const head = h("div", {}, ...heading(recipe));
  const rest = h("div", {}, about(work));
  const tools = actions(work);
  const near = varied(work);
  const crossed = crossedWith(work);
  const claim = work.registry ? claimOf(work) : null;
  const another = (drawn) => {
    Object.assign(work, drawn); // what the buttons act on
    const now = parse(drawn.link);
    picture.exchange(drawn, sentence(now));
    head.replaceChildren(...heading(now));
    rest.replaceChildren(...about(drawn).flat());
    tools.refresh();
    near.refresh();
    crossed.refresh();
    claim?.refresh();
    history.replaceState(history.state, "", `/work?${drawn.link}`);
  };
  const change = served ? [changeOf({ ...work }, served, another), card(served)] : null;
  const element = h("article", { class: "work-page" },
    h("div", { class: "hung" }, picture, neighbours(recipe)),
    h("div", { class: "label" }, head, tools, downloads(work), claim ?? [], rest, change), near, crossed);
  return { title: title(recipe), element, leave: () => { near.leave(); tools.leave(); claim?.leave(); } };
}

/** The page of a claimed work, by its id or digest: certificates lead here. */
export async function claimedPage({ id }) {
  const { work } = await get(`/api/certificates/${id}`);
  if (!work) throw new Problem({ message: `Nobody has claimed the artwork ${id}.` });
  history.replaceState(history.state, "", `/work?${work.link}`);
  return workPage({ search: `?${work.link}` });
}

const heading = (recipe) => [
  h("p", { class: "kicker" }, place(recipe)),
  h("h1", { tabindex: "-1" }, title(recipe)),
  h("p", { class: "lead" }, subtitle(recipe)),
];

const about = (work) => [
  lineage(parse(work.link)) ?? [],
  h("h2", {}, "Conditions"), conditions(parse(work.link)),
  h("h2", {}, "Provenance"), provenance(work, parse(work.link)),
];

function neighbours(recipe) {
  if (recipe.recipe) return null; // it is no image of a seed
  const index = Number(recipe.index ?? 0);
  const beside = (at) => `/work?${format({ model: recipe.model, seed: recipe.seed, index: at, where: {}, truncation: recipe.truncation, background: recipe.background })}`;
  return h("p", { class: "neighbours" },
    index > 0 ? h("a", { href: beside(index - 1), rel: "prev" }, "← Number ", index - 1) : h("span", {}),
    h("a", { href: beside(index + 1), rel: "next" }, "Number ", index + 1, " →"));
}

function actions(work) {
  const favourite = h("button", { type: "button", class: "primary", onclick: () => toggleFavourite(work) });
  const compare = h("button", { type: "button", onclick: () => toggleCompared(work) });
  const more = h("a", { class: "button" }, "More like this");
  const show = () => {
    more.href = `/?${format({ ...parse(work.link), recipe: undefined, index: undefined, attempt: undefined })}`;
    favourite.textContent = isFavourite(work.id) ? "♥ Kept" : "♡ Keep";
    favourite.setAttribute("aria-pressed", isFavourite(work.id));
    compare.textContent = isCompared(work) ? "◫ Compared" : "◫ Compare";
    compare.setAttribute("aria-pressed", isCompared(work));
  };
  const forget = onChange(show);
  show();
  const link = async () => {
    const address = `${location.origin}/work?${work.link}`;
    try {
      await navigator.clipboard.writeText(address);
      say("The link is copied. Whoever opens it sees this work, drawn again.");
    } catch {
      showText({ title: "The link to this work", label: "Whoever opens it sees this work, drawn again.", value: address });
    }
  };
  const copy = h("button", { type: "button", onclick: link }, "Copy link");
  return Object.assign(h("div", { class: "actions" }, favourite, compare, copy, albumChoice(work), more), { refresh: show, leave: forget });
}

/** A list of albums to put the work into; the last entry makes a new one. */
function albumChoice(work) {
  const select = h("select", { "aria-label": "Add to album" }, h("option", { value: "" }, "Add to album…"));
  get("/api/albums").then(({ albums }) => {
    select.append(...albums.map((album) => h("option", { value: album.id }, album.title)), h("option", { value: "new" }, "New album…"));
  }).catch((problem) => say(problem.message));
  select.addEventListener("change", async () => {
    const chosen = select.value;
    select.value = "";
    try {
      const id = chosen === "new" ? await newAlbum() : chosen;
      if (!id) return;
      await send("POST", `/api/albums/${id}/works`, { id: work.id, link: work.link });
      say("Added to the album.");
    } catch (problem) {
      say(problem.message);
    }
  });
  return select;
}

/** The new album's id; null where there is none in the end. */
async function newAlbum() {
  const made = await askText({ title: "A new album", label: "Title", action: "Make the album", send: (title) => send("POST", "/api/albums", { title }) });
  return made?.id ?? null;
}

function downloads(work) {
  const signed = h("input", { type: "checkbox" });
  const box = h("div", { class: "downloads", "data-field": "credentials" });
  const notes = h("div", {});
  const fetchFile = async (kind) => {
    notes.replaceChildren();
    try {
      const answer = await request(`/download?${work.link}&format=${kind}&credentials=${signed.checked ? "embedded" : "none"}`);
      const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))[1];
      const url = URL.createObjectURL(await answer.blob());
      h("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    } catch (problem) {
      notes.replaceChildren(problemBox(problem));
    }
  };
  const kinds = ["png", "webp", "jpeg"].map((kind) => h("button", { type: "button", onclick: () => fetchFile(kind) }, kind.toUpperCase()));
  box.append(h("span", {}, "Download"), ...kinds, h("label", {}, signed, " with Content Credentials"), notes);
  return box;
}

function conditions(recipe) {
  return facts(Object.entries(recipe.where).map(([name, value]) => [capital(plain(name)),
    h("a", { href: `/?${format({ model: recipe.model.split("@")[0], where: { [name]: value }, background: recipe.background })}`, title: "A wall of these" }, blendWords(value))]));
}

function provenance(work, recipe) {
  const { queued, batched, drawn, encoded } = work.timings;
  const ms = (seconds) => `${(1000 * seconds).toFixed(1)} ms`;
  const near = work.originality?.percentile;
  return facts([
    ["Digest", h("code", {}, work.digest)],
    ["Model", `${work.model} (${work.model_digest.slice(0, 19)}…)`],
    ["Truncation", recipe.truncation],
    ["Drawn by", `${work.renderer.runtime}, ${work.renderer.provider} on ${work.renderer.processor}`],
    ["File", `${work.renderer.encoder}${work.renderer.mark ? `, watermark of the key “${work.renderer.mark}”` : ", no watermark"}`],
    ["Time", `${ms(queued)} in the queue, ${ms(batched)} until its batch, ${ms(drawn)} drawing the batch, ${ms(encoded)} for the file`],
    ["Originality", near === undefined || near === null ? null : `farther from every training picture than ${Math.round(100 * near)} % of real pictures are`],
  ]);
}

/** What is known of the model. */
function card(model) {
  const training = model.training ?? {};
  const sources = (model.sources ?? []).map((source) => h("li", {}, `${source.name}, ${source.licence}. ${source.credit ?? ""}`));
  const metrics = (model.metrics ?? []).slice(0, 12).map((metric) => [plain(metric.name), Number(metric.value).toPrecision(3)]);
  return h("details", { class: "card" }, h("summary", {}, "Model card"),
    h("p", {}, model.description ?? ""),
    facts([["Size", `${model.width} × ${model.height} pixels`], ["Licence of the weights", model.licence], ["Trained on", training.dataSet]]),
    sources.length ? [h("h3", {}, "Training pictures"), h("ul", {}, sources)] : null,
    metrics.length ? [h("h3", {}, "Measured"), facts(metrics)] : null);
}
