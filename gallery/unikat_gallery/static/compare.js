// Works side by side, at one scale, with what differs between their recipes.
import { capital, h, plain } from "./dom.js";
import { get } from "./api.js";
import { compared, forgetCompared } from "./kept.js";
import { blendWords, parse, place, sentence, title } from "./recipe.js";
import { zoomed } from "./zoom.js";

export async function comparePage({ search }) {
  const given = new URLSearchParams(search).getAll("w");
  const links = given.length ? given : compared();
  const works = await Promise.all(links.map((link) => get(`/api/work?${link}`)));
  const share = `/compare?${links.map((link) => `w=${encodeURIComponent(link)}`).join("&")}`;
  if (!given.length && links.length) history.replaceState(history.state, "", share);
  const element = h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "Side by side"),
    works.length ? [h("div", { class: "beside" }, works.map(column)), table(works),
      h("div", { class: "actions" }, h("button", { type: "button", class: "quiet", onclick: () => (forgetCompared(), dispatchEvent(new CustomEvent("visit", { detail: "/compare" }))) }, "Begin again"))]
      : h("p", { class: "lead" }, "Choose two to four works on the wall with ◫, or with the key c."));
  return { title: "Compare", element };
}

function column(work) {
  const recipe = parse(work.link);
  return h("figure", {}, zoomed(work, sentence(recipe), { tools: false }),
    h("figcaption", {}, h("a", { href: `/work?${work.link}` }, title(recipe)), h("span", { class: "hint" }, place(recipe))));
}

function table(works) {
  const recipes = works.map((work) => parse(work.link));
  const names = [...new Set(recipes.flatMap((recipe) => Object.keys(recipe.where)))];
  const rows = names.map((name) => [capital(plain(name)), recipes.map((recipe) => (name in recipe.where ? blendWords(recipe.where[name]) : "–"))]);
  rows.push(["Seed and number", recipes.map((recipe) => recipe.recipe ?? `${recipe.seed} : ${recipe.index}`)], ["Truncation", recipes.map((recipe) => recipe.truncation ?? "–")]);
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "What differs" }, h("table", {}, h("caption", {}, "What differs is marked."),
    h("tbody", {}, rows.map(([name, values]) => {
      const differs = new Set(values).size > 1;
      return h("tr", { class: differs ? "differs" : null }, h("th", { scope: "row" }, name, differs ? h("span", { class: "unseen" }, " (differs)") : null), values.map((value) => h("td", {}, value)));
    }))));
}
