// A work's conditions under one's hands: its picture follows the sliders, the latest request wins.
import { get } from "./api.js";
import { blame, controlsOf } from "./controls.js";
import { directionsOf } from "./directions.js";
import { h, problemBox } from "./dom.js";
import { format, parse } from "./recipe.js";

/** Controls that change `work`; `shown` is given each work that is drawn, in the order in which it was asked for. */
export function changeOf(work, model, shown) {
  const wish = parse(work.link);
  const notes = h("div", {});
  let asked = null; // the request that is under way: a later one ends it
  const changed = async () => {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const drawn = await get(`/api/work?${format({ ...wish, attempt: undefined })}`, { signal: mine.signal });
      if (mine !== asked) return;
      blame(panel, null);
      notes.replaceChildren();
      shown(drawn);
    } catch (problem) {
      if (problem.name === "AbortError" || mine !== asked) return;
      if (!blame(panel, problem)) notes.replaceChildren(problemBox(problem));
    }
  };
  const panel = h("details", { class: "panel change" }, h("summary", {}, "Change it"),
    h("p", { class: "hint" }, "The latent moved along directions, and under other conditions. The picture follows."),
    directionsOf(model, wish, changed), controlsOf(model, wish, changed), notes);
  return panel;
}
