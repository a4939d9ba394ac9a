// Where a picture comes from: dropped here, or on any page.
import { facts, h, problemBox } from "./dom.js";
import { request } from "./api.js";
import { certificate, claimedWork } from "./certificate.js";

let dropped = null;

/** A picture that was dropped on another page: the next visit of this page examines it. */
export const drop = (file) => (dropped = file);

export async function verifyPage() {
  const result = h("div", { class: "result", "aria-live": "polite" });
  const input = h("input", { type: "file", accept: "image/png,image/webp,image/jpeg", onchange: () => input.files[0] && examine(input.files[0], result) });
  const element = h("div", { class: "page narrow" }, h("h1", { tabindex: "-1" }, "Where does a picture come from?"),
    h("p", { class: "lead" }, "Drop a picture anywhere on this site. What it says of itself is compared with the watermark in its pixels; it is not kept."),
    h("label", { class: "dropzone" }, h("span", {}, "Drop a picture here, or choose one"), input), result);
  if (dropped) examine(dropped, result);
  dropped = null;
  return { title: "Verify", element };
}

async function examine(file, result) {
  result.replaceChildren(h("p", { class: "hint" }, "Looking closely …"));
  try {
    const found = await (await request("/api/verify", { method: "POST", body: file })).json();
    const picture = h("img", { alt: "The picture that was examined", class: "exact examined" });
    picture.src = URL.createObjectURL(file);
    picture.addEventListener("load", () => URL.revokeObjectURL(picture.src));
    result.replaceChildren(picture, h("div", {}, h("p", { class: "verdict" }, found.verdict), facts(found.facts),
      found.link ? h("p", { class: "actions" }, h("a", { class: "button", href: `/work?${found.link}` }, "Draw it again and compare")) : null,
      found.work ? [h("h2", {}, "Certificate"), ...certificate(found.work)] : null,
      found.neighbours?.length ? [h("h2", {}, "Works that look most like it"), h("ul", {}, found.neighbours.map((work) => h("li", {}, claimedWork(work), h("p", { class: "hint" }, work.near_copy ? "A near copy: " : "", work.apart))))] : null));
  } catch (problem) {
    result.replaceChildren(problemBox(problem));
  }
}
