// The directions of a model: sliders that move a work's latent along them.
import { capital, h, plain } from "./dom.js";
import { terms } from "./recipe.js";
import { slider } from "./slider.js";

const AT_ONCE = 6; // sliders that are seen at once: the directions that change a picture most
const FARTHEST = 4; // standard deviations

/** Sliders of `model`; `wish` is a recipe that they change, `changed` is told of every change. Null without directions. */
export function directionsOf(model, wish, changed) {
  const all = [...(model.directions ?? [])].sort((a, b) => (b.strength ?? 0) - (a.strength ?? 0));
  if (!all.length) return null;
  const said = wish.recipe ? terms(wish) : [];
  const moved = new Map(said.filter((term) => term.direction).map((term) => [term.direction, term.strength]));
  const points = wish.recipe ? wish.recipe.split(",").filter((term) => !term.startsWith("shift:")).join(",") : `${wish.seed}:${wish.index ?? 0}`;
  const move = (name, strength) => {
    strength ? moved.set(name, strength) : moved.delete(name);
    const shifts = [...moved].map(([direction, by]) => `shift:${direction}*${by}`);
    const isPlace = /^\d+:\d+$/.test(points) && !shifts.length;
    const [seed, index] = points.split(":");
    Object.assign(wish, isPlace ? { recipe: undefined, seed, index } : { recipe: [points, ...shifts].join(","), seed: undefined, index: undefined });
    changed();
  };
  const one = ({ name }) => slider({
    label: /^\d/.test(name) ? `Direction ${name}` : capital(plain(name)), min: -FARTHEST, max: FARTHEST, step: "0.1", value: moved.get(name) ?? 0,
    words: (number) => `${number > 0 ? "+" : ""}${number.toFixed(1)}`,
  }, (strength) => move(name, strength));
  const rest = all.slice(AT_ONCE);
  return h("fieldset", { "data-field": "recipe" }, h("legend", {}, "Directions"), h("div", { class: "sliders" }, all.slice(0, AT_ONCE).map(one)),
    rest.length ? h("details", {}, h("summary", {}, `${rest.length} more, which change less`), h("div", { class: "sliders" }, rest.map(one))) : null,
    h("p", { class: "hint" }, "Standard deviations of the latent along what the model's pictures differ in most."));
}
