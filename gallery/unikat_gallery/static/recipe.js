// A work's recipe: what its link says. The server reads the same in links.py.
import { capital, plain } from "./dom.js";

const FIELDS = ["model", "recipe", "seed", "index", "truncation", "background", "attempt"];

/** {model, seed, index, …, where: {style: {micah: 1}}}; seeds are text: they have 64 bits. */
export function parse(query) {
  const recipe = { where: {} };
  for (const [name, value] of new URLSearchParams(query)) {
    if (FIELDS.includes(name)) recipe[name] = value;
    else if (name.startsWith("c.")) recipe.where[name.slice(2)] = weights(value);
  }
  return recipe;
}

function weights(text) {
  if (!/[,:]/.test(text)) return { [text]: 1 };
  const pairs = text.split(",").map((part) => [part.slice(0, part.lastIndexOf(":")), Number(part.slice(part.lastIndexOf(":") + 1))]);
  return Object.fromEntries(pairs);
}

/** The query of a recipe, in the order in which the server writes it. */
export function format(recipe) {
  const pairs = ["model", "recipe", "seed", "index"].filter((name) => recipe[name] !== undefined).map((name) => [name, recipe[name]]);
  for (const [name, value] of Object.entries(recipe.where ?? {})) {
    const parts = Object.entries(value);
    if (parts.length) pairs.push([`c.${name}`, parts.length === 1 ? parts[0][0] : parts.map(([c, w]) => `${c}:${w}`).join(",")]);
  }
  for (const name of ["truncation", "background", "attempt"]) if (recipe[name]) pairs.push([name, recipe[name]]);
  return pairs.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll(/%(3A|2C|40)/g, decodeURIComponent)}`).join("&");
}

/** A condition for people: "micah", or "micah 60 % and lorelei 40 %". */
export function blendWords(value) {
  const parts = Object.entries(value);
  if (parts.length === 1) return plain(parts[0][0]);
  const total = parts.reduce((sum, [, weight]) => sum + weight, 0) || 1;
  return parts.map(([name, weight]) => `${plain(name)} ${Math.round((100 * weight) / total)} %`).join(" and ");
}

/** A work's title: what its first condition says. */
export function title(recipe) {
  const first = Object.values(recipe.where)[0];
  return first ? capital(blendWords(first)) : capital(plain((recipe.model ?? "").split("@")[0]));
}

/** The other conditions as one line: "brown skin, pink hair color". "none" and "no" are left out. */
export function subtitle(recipe) {
  return Object.entries(recipe.where)
    .slice(1)
    .map(([name, value]) => [name, blendWords(value)])
    .filter(([, words]) => words !== "none" && words !== "no")
    .map(([name, words]) => (words === "yes" ? plain(name) : `${words} ${plain(name)}`))
    .join(", ");
}

/** All of it in one sentence, as the text that stands for a picture. */
export const sentence = (recipe) => [title(recipe), subtitle(recipe)].filter(Boolean).join(", ");

/** Where a work is among all: "portraits@1, seed 7, number 3". */
export const place = (recipe) => (recipe.recipe ? `${recipe.model}, ${recipe.recipe}` : `${recipe.model}, seed ${recipe.seed}, number ${recipe.index ?? 0}`);

/** The points and directions of a mix: [{seed, index, share}] (of 1), {direction, strength}; a vector is {share} alone. */
export function terms(recipe) {
  return recipe.recipe.split(",").map((term) => {
    const [what, number = "1"] = term.split("*");
    if (what.startsWith("shift:")) return { direction: what.slice(6), strength: Number(number) };
    const [seed, index] = what.startsWith("vector:") ? [] : what.split(":");
    return { seed, index, share: Number(number) ** 2 };
  });
}

/** A new seed of 52 bits, as text. */
export function newSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return String((high % 2 ** 20) * 2 ** 32 + low);
}
