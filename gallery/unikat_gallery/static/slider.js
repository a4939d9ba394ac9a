// A slider with its value beside it.
import { h } from "./dom.js";

/** `changed` is given the number, `words` makes its text. */
export function slider({ label, min, max, step, value, words }, changed) {
  const output = h("output", {});
  const input = h("input", { type: "range", min, max, step, value, "aria-label": label });
  const show = () => (output.textContent = words(Number(input.value)));
  input.addEventListener("input", () => (show(), changed(Number(input.value))));
  show();
  return h("label", { class: "slider" }, h("span", {}, label), input, output);
}
