// Controls of what is drawn, made from a model's schema: chips for categories, sliders where a second one is chosen.
import { capital, h, plain } from "./dom.js";

const MOST_CHIPS = 30; // of an attribute; others are chosen by their names
export const GROUNDS = [
  ["#e8e3d9", "Stone"], ["#ffffff", "White"], ["#f0d9cf", "Rose"], ["#cfdde6", "Sky"], ["#d5decb", "Sage"], ["#23252b", "Night"],
];
const WITH_ALPHA = 4; // channels

/** The controls of `model`; `wish` is a recipe that they change, `changed` is told of every change. */
export function controlsOf(model, wish, changed) {
  return h("div", { class: "controls" },
    (model.attributes ?? []).map((attribute) => attributeControl(attribute, wish, changed)),
    variety(model, wish, changed),
    model.channels === WITH_ALPHA ? ground(wish, changed) : null);
}

function attributeControl(attribute, wish, changed) {
  const field = h("fieldset", { "data-field": `c.${attribute.name}` });
  const sliders = h("div", { class: "sliders" });
  const categories = attribute.categories.map((category) => category.name);
  const chips = h("div", { class: "chips" });
  const draw = () => {
    const chosen = wish.where[attribute.name] ?? {};
    const shown = [...categories.slice(0, MOST_CHIPS), ...Object.keys(chosen).filter((name) => categories.indexOf(name) >= MOST_CHIPS)];
    if (chips.childElementCount !== shown.length) chips.replaceChildren(...shown.map((name) => chip(name, () => toggle(name))));
    [...chips.children].forEach((each, at) => each.setAttribute("aria-pressed", String(shown[at] in chosen)));
    sliders.replaceChildren(...(Object.keys(chosen).length > 1 ? Object.keys(chosen).map((name) => weight(name, chosen, changed)) : []));
  };
  const toggle = (name) => {
    const chosen = { ...wish.where[attribute.name] };
    if (name in chosen) delete chosen[name];
    else if (attribute.exclusive) Object.keys(chosen).forEach((other) => delete chosen[other]);
    if (!(name in (wish.where[attribute.name] ?? {}))) chosen[name] = 1;
    Object.keys(chosen).length ? (wish.where[attribute.name] = chosen) : delete wish.where[attribute.name];
    draw();
    changed();
  };
  field.append(h("legend", {}, capital(plain(attribute.name))), chips, others(attribute, categories, toggle), sliders);
  draw();
  return field;
}

const chip = (name, act) => h("button", { type: "button", class: "chip", "aria-pressed": "false", onclick: act }, plain(name));

/** A field for names beyond the first chips. */
function others(attribute, categories, toggle) {
  if (categories.length <= MOST_CHIPS) return "";
  const list = `list-${attribute.name}`;
  const choose = (event) => {
    if (categories.includes(event.target.value)) toggle(event.target.value);
    event.target.value = "";
  };
  return h("label", {}, `One of ${categories.length}`,
    h("input", { list, onchange: choose }),
    h("datalist", { id: list }, categories.map((value) => h("option", { value }))));
}

/** A slider for a category's share of a blend. */
function weight(name, chosen, changed) {
  const output = h("output", {});
  const input = h("input", { type: "range", min: "0.05", max: "1", step: "0.05", value: String(chosen[name]), "aria-label": `Share of ${plain(name)}` });
  const show = () => {
    const total = Object.values(chosen).reduce((sum, each) => sum + each, 0);
    output.textContent = `${Math.round((100 * chosen[name]) / total)} %`;
  };
  input.addEventListener("input", () => {
    chosen[name] = Number(input.value);
    input.closest(".sliders").dispatchEvent(new Event("shares"));
    changed();
  });
  queueMicrotask(() => (input.closest(".sliders")?.addEventListener("shares", show), show()));
  return h("label", { class: "slider" }, h("span", {}, plain(name)), input, output);
}

function variety(model, wish, changed) {
  const output = h("output", {});
  const standard = model.defaultTruncation ?? 1;
  const input = h("input", { type: "range", min: "0.1", max: "1.5", step: "0.05", value: wish.truncation ?? String(standard) });
  const show = () => (output.textContent = Number(input.value).toFixed(2));
  input.addEventListener("input", () => {
    wish.truncation = Number(input.value) === standard ? undefined : input.value;
    show();
    changed();
  });
  show();
  const hint = h("p", { class: "hint" }, "Left: typical of its kind. Right: unusual.");
  return h("fieldset", { "data-field": "truncation" }, h("legend", {}, "Variety"), h("label", { class: "slider" }, h("span", { class: "unseen" }, "Truncation"), input, output), hint);
}

function ground(wish, changed) {
  const field = h("fieldset", { "data-field": "background" }, h("legend", {}, "Ground"));
  const choose = (value) => {
    wish.background = value;
    for (const each of field.querySelectorAll(".swatch")) each.setAttribute("aria-pressed", String(each.value === value));
    changed();
  };
  const swatches = [...GROUNDS, ["none", "None"]].map(([value, name]) => {
    const swatch = h("button", { type: "button", class: `swatch ${name.toLowerCase()}`, value, title: name, "aria-label": name, "aria-pressed": String(wish.background === value), onclick: () => choose(value) });
    if (value !== "none") swatch.style.backgroundColor = value;
    return swatch;
  });
  field.append(h("div", { class: "swatches" }, swatches));
  return field;
}

/** Show what is wrong at the controls that caused it; returns whether each has a control here. */
export function blame(place, problem) {
  for (const old of place.querySelectorAll(".wrong")) old.remove();
  for (const field of place.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  const entries = Object.entries(problem?.fields ?? {});
  const found = entries.map(([name, text]) => {
    const field = place.querySelector(`[data-field="${CSS.escape(name)}"]`);
    if (!field) return false;
    const id = `wrong-${name.replaceAll(".", "-")}`;
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", id);
    field.append(h("p", { class: "wrong", id, role: "alert" }, capital(text)));
    return true;
  });
  return entries.length > 0 && found.every(Boolean);
}
