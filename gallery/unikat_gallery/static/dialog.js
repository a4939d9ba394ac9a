// Dialogs: a question that is answered, a text that is typed. What is behind waits, Escape leaves, the focus returns.
import { blame } from "./controls.js";
import { h, problemBox, say } from "./dom.js";

/**
 * Show a form until it is sent or left. Resolves to what `send` returned, or to null where it was left; what `send` throws
 * is shown at its fields, or by `wrong`. Without an `action` there is nothing to send; a `careful` one begins at leaving it.
 */
export function dialog({ title, body, action = "", send = () => true, leave = "Cancel", careful = false, wrong = problemBox }) {
  const { element, form, notes } = made(title, body, action, leave, careful);
  let sent = null; // the promise of what is sent
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sent) return;
    form.setAttribute("aria-busy", "true");
    sent = (async () => send())();
    try {
      await sent;
      element.close();
    } catch (problem) {
      if (!element.open) return say(problem.message);
      sent = null;
      notes.replaceChildren();
      if (!blame(form, problem)) notes.replaceChildren(wrong(problem));
      form.querySelector(".wrong, .problem")?.scrollIntoView({ block: "nearest" });
    } finally {
      form.removeAttribute("aria-busy");
    }
  });
  const close = () => element.close();
  return new Promise((resolve) => {
    element.addEventListener("close", () => {
      removeEventListener("popstate", close);
      element.remove();
      resolve(sent?.catch(() => null) ?? null);
    });
    addEventListener("popstate", close); // the page that it belongs to is left
    document.body.append(element);
    element.showModal(); // it gives the focus back where it was
  });
}

function made(title, body, action, leave, careful) {
  const notes = h("div", {});
  const cancel = h("button", { type: "button", autofocus: careful }, leave);
  const form = h("form", {}, h("h2", { id: "dialog-title" }, title), body, notes,
    h("div", { class: "actions" }, action ? h("button", { class: "primary" }, action) : null, cancel));
  const element = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  cancel.addEventListener("click", () => element.close());
  element.addEventListener("click", (event) => event.target.closest("a[href]") && element.close()); // it leads elsewhere
  return { element, form, notes };
}

/** A field of a form by the name that errors have for it; `attributes` are the input's. */
export function field(name, label, attributes = {}, hint = "") {
  const input = h("input", { name, autocomplete: "off", ...attributes });
  const element = h("div", { class: "field", "data-field": name }, h("label", {}, h("span", {}, label), input), hint ? h("p", { class: "hint" }, hint) : null);
  return Object.assign(element, { input });
}

/** Ask for a short text, which is given to `send`. */
export function askText({ title, label, value = "", action, send }) {
  const text = field("title", label, { value, required: true, maxlength: "120" });
  text.input.addEventListener("focus", () => text.input.select(), { once: true });
  return dialog({ title, body: text, action, send: () => send(text.input.value) });
}

/** Ask whether to go on with what cannot be undone. */
export const askSure = ({ title, text, action, send }) => dialog({ title, body: h("p", {}, text), action, send, careful: true });

/** Show a text that is to be copied by hand. */
export function showText({ title, label, value }) {
  const text = field("text", label, { value, readonly: true });
  text.input.addEventListener("focus", () => text.input.select());
  return dialog({ title, body: text, leave: "Close" });
}
