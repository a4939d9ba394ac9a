// Elements from plain values. Text is never parsed as HTML.

/** An element: `onclick` and its like are listeners, true and false switch attributes, null leaves one out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** "hair_color" as people write it. */
export const plain = (name) => name.replaceAll(/[_-]/g, " ");

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Say something to everybody, screen readers included, for a few seconds. */
export function say(text) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.toggle("shown", Boolean(text));
  clearTimeout(say.timer);
  if (text) say.timer = setTimeout(() => say(""), 6000);
}

/** What is wrong, in words, at `place`; with `again` there is a button that tries once more. */
export function problemBox(problem, again) {
  const retry = again ? h("button", { type: "button", class: "quiet", onclick: again }, "Try again") : null;
  return h("p", { class: "problem", role: "alert" }, problem.message, " ", retry);
}

/** A list of names and values; entries without a value are left out. */
export function facts(entries) {
  const found = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return h("dl", { class: "facts" }, found.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
