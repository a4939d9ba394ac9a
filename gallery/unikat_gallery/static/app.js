// The site: which page an address shows, going there and back, and what holds on every page.
import { h, problemBox, say } from "./dom.js";
import { changed, compared, load, onChange } from "./kept.js";
import { comparePage } from "./compare.js";
import { crossPage, dragging } from "./cross.js";
import { exhibitionPage } from "./exhibition.js";
import { albumPage, albumsPage, favouritesPage } from "./shelf.js";
import { drop, verifyPage } from "./verify.js";
import { linkOf } from "./tile.js";
import { tastePage, votePage } from "./vote.js";
import { walkPage } from "./walk.js";
import { wallPage } from "./wall.js";
import { claimedPage, workPage } from "./work.js";

// An address, what draws its page, and which entry of the navigation it is under. app.py serves the same addresses.
const PAGES = [
  [/^\/$/, wallPage, "wall"],
  [/^\/work$/, workPage, "wall"],
  [/^\/claimed\/(?<id>[0-9a-f]+)$/, claimedPage, "wall"],
  [/^\/favourites$/, favouritesPage, "favourites"],
  [/^\/albums$/, albumsPage, "albums"],
  [/^\/album\/(?<id>[0-9a-f]+)$/, albumPage, "albums"],
  [/^\/compare$/, comparePage, "compare"],
  [/^\/cross$/, crossPage, "favourites"],
  [/^\/walk$/, walkPage, "favourites"],
  [/^\/vote$/, votePage, "vote"],
  [/^\/taste$/, tastePage, "vote"],
  [/^\/verify$/, verifyPage, "verify"],
  [/^\/exhibition\/(?<id>[0-9a-f]+)$/, exhibitionPage, "albums"],
];

const main = document.getElementById("main");
let shown = null; // the page that is shown: its title, element, leave
let wall = null; // the last wall, which is there again on the way back, with its address
let visits = 0;
let entry; // key of the entry of the history that is shown
const scrolls = new Map(); // key of an entry of the history -> where it was scrolled to, and what had the focus

history.scrollRestoration = "manual";

/** Go to an address of this site. */
export function visit(address) {
  remember();
  history.pushState({ key: crypto.randomUUID?.() ?? String(Math.random()) }, "", address);
  show();
}

function remember() {
  scrolls.set(entry, { top: scrollY, focus: document.activeElement });
  if (shown?.isWall) wall = shown;
}

const here = () => location.pathname + location.search;

async function show({ back = false } = {}) {
  const number = ++visits;
  entry = history.state?.key;
  const [match, page, name] = PAGES.map(([form, draw, under]) => [form.exec(location.pathname), draw, under]).find(([found]) => found) ?? [];
  shown?.leave?.();
  let next;
  const late = setTimeout(() => main.setAttribute("aria-busy", "true"), 150);
  try {
    const isWall = page === wallPage;
    if (isWall && wall?.address() === here()) next = wall;
    else if (page) next = { ...(await page({ search: location.search, ...match.groups })), isWall };
    else next = { title: "Nothing here", element: problemBox({ message: "There is no such page." }) };
  } catch (problem) {
    next = { title: "Something is wrong", element: h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "This cannot be shown"), problemBox(problem, () => show())) };
  }
  clearTimeout(late);
  main.removeAttribute("aria-busy");
  if (number !== visits) return next.leave?.(); // somebody went on meanwhile
  shown = next;
  main.replaceChildren(next.element);
  changed(); // a wall that comes back shows what was kept meanwhile
  document.title = `${next.title} · Unikat`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  settle(back, number);
}

/** Back where one was; else to the top, with the focus on the heading. */
function settle(back, number) {
  const before = back ? scrolls.get(entry) : null;
  scrollTo(0, before?.top ?? 0);
  if (before?.focus?.isConnected && before.focus !== document.body) before.focus.focus({ preventScroll: true });
  else if (number > 1) main.querySelector("h1")?.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.hasAttribute("data-native") || link.hasAttribute("download") || link.hash) return;
  event.preventDefault();
  visit(link.pathname + link.search);
});

addEventListener("popstate", () => (remember(), show({ back: true })));
addEventListener("visit", (event) => visit(event.detail));

document.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
document.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer?.files ?? [];
  if (!file) return;
  event.preventDefault();
  drop(file);
  visit("/verify");
});

dragging(linkOf);

onChange(() => {
  const count = compared().length;
  let link = document.querySelector('nav a[data-page="compare"]');
  if (!link) {
    link = h("a", { href: "/compare", "data-page": "compare" });
    document.querySelector('nav a[data-page="verify"]').before(link);
  }
  link.hidden = !count;
  link.textContent = `Compare (${count})`;
});

load().catch((problem) => say(problem.message));
show();
