// Certificates of claimed works, and claims: the registry's answers on a work's page.
import { get, send } from "./api.js";
import { dialog, field } from "./dialog.js";
import { facts, h, problemBox, say } from "./dom.js";
import { downloadKey, keyFile, newKey } from "./key.js";

const PAUSE = 400; // ms that a work rests on its page before the registry is asked
const CLAIMANT = "claimant"; // what was typed last in this tab

/** What a certificate says. */
export function certificate(work) {
  return [
    facts([
      ["Title", work.title], ["By", work.creator], ["Owner", work.owner !== work.creator ? work.owner : ""],
      ["Claimed", when(work)], ["Entry", `${work.entry} of the log ${work.log}`],
      ["Handed on", work.transfers ? (work.transfers === 1 ? "once" : `${work.transfers} times`) : ""],
      ["Owner’s key", h("code", {}, work.owner_key)],
    ]),
    h("p", { class: "actions" }, h("a", { class: "button", href: work.file, download: `${work.id}.json`, "data-native": true }, "Download certificate (JSON)")),
  ];
}

const when = (work) => h("time", { datetime: work.claimed }, new Date(work.claimed).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" }));

/** A claimed work in a line, with a link to its page. */
export const claimedWork = (work, ...more) => h("span", {}, h("a", { href: `/claimed/${work.digest}` }, work.title || work.id), ` by ${work.creator || "somebody"}, entry ${work.entry}`, more);

/** The part of a work's page. `work` is what is shown there; `refresh` is told that it has changed. */
export function claimOf(work) {
  const element = h("section", { class: "claim", "aria-label": "Certificate" });
  let timer;
  let turn = 0;
  const show = async () => {
    const mine = ++turn;
    try {
      const { work: claimed } = await get(`/api/certificates/${work.digest}`);
      if (mine === turn) element.replaceChildren(...(claimed ? [h("h2", { tabindex: "-1" }, "Certificate"), ...certificate(claimed)] : work.claims ? [offer(work, again)] : []));
    } catch (problem) {
      if (mine === turn) element.replaceChildren(problemBox(problem, show));
    }
  };
  const again = async () => {
    await show();
    element.querySelector("h2")?.focus();
  };
  const refresh = () => {
    clearTimeout(timer);
    turn += 1;
    element.replaceChildren();
    timer = setTimeout(show, PAUSE);
  };
  show();
  return Object.assign(element, { refresh, leave: () => clearTimeout(timer) });
}

/** What leads to a claim; `again` is called once there is a certificate, of whomever. */
function offer(work, again) {
  const claim = async () => {
    let stands = false;
    const made = await claimDialog(work, () => (stands = true));
    if (made || stands) await again();
    if (made) say("It is a work now, and this is its certificate.");
  };
  return h("div", { class: "actions" }, h("button", { type: "button", onclick: claim }, "Claim this work"),
    h("p", { class: "hint" }, "Enters it into the registry’s log, as yours, once for all times."));
}

/** `standing` is called where this very work is claimed already. */
function claimDialog(work, standing) {
  const { id, link, model_digest, digest } = work; // as it is now: sliders may move on behind
  const before = JSON.parse(sessionStorage.getItem(CLAIMANT) ?? "{}");
  const title = field("title", "Title", { maxlength: "200" });
  const creator = field("creator", "By", { required: true, maxlength: "200", value: before.creator ?? "" }, "The name that stands on the certificate, for everybody to see.");
  const owner = field("owner", "Owner, if it is somebody else", { maxlength: "200", value: before.owner ?? "" });
  const key = field("owner_key", "Public key of the owner", { required: true, spellcheck: "false", value: before.owner_key ?? "" },
    ["64 hex digits. Who has its private half can hand the work on. ", h("code", {}, "unikat keys owner NAME"), " writes both: paste what NAME.pub holds."]);
  keyMaker(key, () => creator.input.value);
  const body = [h("img", { class: "exact", src: `/image/${id}.png?${link}`, alt: "The work", width: work.width, height: work.height }), title, creator, owner, key];
  return dialog({
    title: "Claim this work", body, action: "Claim it",
    wrong: (problem) => {
      if (problem.standing?.digest === digest) standing();
      return refusal(problem, digest);
    },
    send: async () => {
      const claimant = { creator: creator.input.value.trim(), owner: owner.input.value.trim(), owner_key: key.input.value.trim() };
      sessionStorage.setItem(CLAIMANT, JSON.stringify(claimant));
      return send("POST", "/api/claims", { link, model_digest, title: title.input.value.trim(), ...claimant });
    },
  });
}

/** A button that makes a key, where the browser can: its file is saved before anything is claimed with it. */
async function keyMaker(key, creator) {
  const make = async () => {
    const made = await newKey();
    const { name, text } = keyFile(creator(), made.seed);
    downloadKey(name, text);
    key.input.value = made.public;
    note.textContent = `${name} is saved: keep it, and a copy elsewhere. Whoever has it can hand the work on, and nobody without it.`;
  };
  const note = h("p", { class: "hint", role: "status" });
  if (await newKey().catch(() => null)) key.append(h("button", { type: "button", onclick: make }, "Make a key, and save its file"), note);
}

/** Why a claim is refused, with the work that stands against it. */
function refusal(problem, digest) {
  const work = problem.standing;
  if (!work) return problemBox(problem);
  const same = work.digest === digest;
  return h("div", { class: "standing", role: "alert" },
    h("p", { class: "problem" }, same ? "It is claimed already." : "Nobody could tell it from a work that is claimed already."),
    h("p", { class: "beside-text" }, h("img", { src: work.image, alt: "The work that is claimed", width: 64, height: 64 }), claimedWork(work, ", claimed ", when(work))));
}
