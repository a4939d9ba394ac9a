// What a visitor keeps: favourites on the server, works to compare in this tab.
import { get, send } from "./api.js";
import { say } from "./dom.js";

export const MOST_COMPARED = 4;
const COMPARED = "compared";
const changes = new EventTarget();
let favourites = null; // ids
let saving = Promise.resolve(); // what was kept is saved in the order in which it was

/** The works that are kept, with those that are being saved just now. */
export async function keptWorks() {
  await saving;
  return (await get("/api/favourites")).works;
}

/** Tell of changes, until what is returned is called. */
export function onChange(listener) {
  changes.addEventListener("change", listener);
  return () => changes.removeEventListener("change", listener);
}
export const changed = () => changes.dispatchEvent(new Event("change"));

/** Load the favourites once. */
export async function load() {
  if (favourites) return;
  favourites = new Set((await keptWorks()).map((work) => work.id));
  changed();
}

export const hasFavourites = () => Boolean(favourites?.size);

export const isFavourite = (id) => Boolean(favourites?.has(id));

/** Keep a work, or keep it no longer. */
export function toggleFavourite(work) {
  const had = isFavourite(work.id);
  favourites ??= new Set();
  had ? favourites.delete(work.id) : favourites.add(work.id);
  changed();
  return (saving = saving.then(() => save(work, had)));
}

async function save(work, had) {
  try {
    if (had) await send("DELETE", `/api/favourites/${work.id}`);
    else await send("POST", "/api/favourites", { id: work.id, link: work.link });
    say(had ? "No longer a favourite." : "Kept as a favourite.");
  } catch (problem) {
    had ? favourites.add(work.id) : favourites.delete(work.id);
    changed();
    say(problem.message);
  }
}

/** The links of the works that are compared. */
export const compared = () => JSON.parse(sessionStorage.getItem(COMPARED) ?? "[]");

export const isCompared = (work) => compared().includes(work.link);

/** Compare a work as well, or no longer; the oldest one gives way. */
export function toggleCompared(work) {
  const had = isCompared(work);
  const links = compared().filter((link) => link !== work.link);
  if (!had) links.push(work.link);
  sessionStorage.setItem(COMPARED, JSON.stringify(links.slice(-MOST_COMPARED)));
  say(had ? "No longer compared." : `${Math.min(links.length, MOST_COMPARED)} of ${MOST_COMPARED} to compare.`);
  changed();
}

export function forgetCompared() {
  sessionStorage.removeItem(COMPARED);
  changed();
}
