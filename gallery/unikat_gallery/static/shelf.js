// What a visitor has kept: favourites, albums, and what an album is exported as.
import { get, send } from "./api.js";
import { askSure, askText } from "./dialog.js";
import { h, problemBox, say } from "./dom.js";
import { toggleFavourite } from "./kept.js";
import { emptyTile, hang, makeCurrent, wallOf } from "./tile.js";

export async function favouritesPage() {
  const { works } = await get("/api/favourites");
  const list = filled(works, (work, tile) => (toggleFavourite(work), tile.remove()));
  const element = h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "Favourites"),
    works.length ? [h("div", { class: "actions" }, h("button", { type: "button", onclick: () => albumOf(works) }, "Put all into a new album"), h("a", { class: "button", href: "/walk" }, "Walk between them")), h("p", { class: "hint" }, "Drag one onto another to cross the two; on a work's page, Cross with… does it without dragging."), list]
      : h("p", { class: "lead" }, "Nothing yet: keep a work on the wall with its heart, or with the key f."));
  return { title: "Favourites", element };
}

const go = (address) => dispatchEvent(new CustomEvent("visit", { detail: address }));

async function albumOf(works) {
  let made; // it stays where a work cannot be put into it: the next try goes on with it
  const album = await askText({
    title: "A new album", label: "Title", value: "Favourites", action: "Make the album",
    send: async (title) => {
      made ??= await send("POST", "/api/albums", { title });
      for (const work of [...works].reverse()) await send("POST", `/api/albums/${made.id}/works`, { id: work.id, link: work.link });
      return made;
    },
  });
  if (album) go(`/album/${album.id}`);
}

export async function albumsPage() {
  const { albums } = await get("/api/albums");
  const input = h("input", { name: "title", required: true, maxlength: "120", autocomplete: "off" });
  const notes = h("div", {});
  const make = async (event) => {
    event.preventDefault();
    try {
      const album = await send("POST", "/api/albums", { title: input.value });
      go(`/album/${album.id}`);
    } catch (problem) {
      notes.replaceChildren(problemBox(problem));
    }
  };
  const covers = albums.map((album) => h("li", { class: "cover" }, h("a", { href: `/album/${album.id}` },
    h("span", { class: "four" }, album.works.map((work) => h("img", { src: work.image, alt: "", loading: "lazy" }))),
    h("strong", {}, album.title), h("span", { class: "hint" }, album.count === 1 ? "1 work" : `${album.count} works`))));
  const element = h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "Albums"),
    h("form", { class: "inline", "data-field": "title", onsubmit: make }, h("label", {}, "Title ", input), h("button", { class: "primary" }, "New album")), notes,
    covers.length ? h("ul", { class: "covers" }, covers) : h("p", { class: "lead" }, "An album holds works in an order. It can be hung as an exhibition, and taken along as a sheet, an atlas of sprites or the plan of a batch."));
  return { title: "Albums", element };
}

export async function albumPage({ id }) {
  const album = await get(`/api/albums/${id}`);
  const remove = async (work, tile) => {
    try {
      await send("DELETE", `/api/albums/${id}/works/${work.id}`);
      tile.remove();
    } catch (problem) {
      say(problem.message);
    }
  };
  const list = filled(album.works, album.mine ? remove : undefined);
  const exports = [["sheet.png", "Contact sheet"], ["sprites.zip", "Sprite sheet"], ["plan.sh", "Batch plan"]];
  const element = h("div", { class: "page" }, h("p", { class: "kicker" }, album.works.length === 1 ? "Album of 1 work" : `Album of ${album.works.length} works`), h("h1", { tabindex: "-1" }, album.title),
    album.works.length ? h("div", { class: "actions" },
      h("a", { class: "button primary", href: `/exhibition/${id}` }, "Hang the exhibition"),
      exports.map(([name, words]) => h("a", { class: "button", href: `/export/${id}/${name}`, download: name, "data-native": true }, words)),
      album.mine ? [h("button", { type: "button", class: "quiet", onclick: () => rename(album) }, "Rename"), h("button", { type: "button", class: "quiet", onclick: () => forget(album) }, "Delete")] : null) : null,
    album.works.length ? list : h("p", { class: "lead" }, "Empty: put works into it on their pages."));
  return { title: album.title, element };
}

async function rename(album) {
  const renamed = await askText({
    title: "Rename the album", label: "Title", value: album.title, action: "Rename",
    send: (title) => send("PATCH", `/api/albums/${album.id}`, { title }),
  });
  if (renamed) go(`/album/${album.id}`);
}

async function forget(album) {
  const gone = await askSure({
    title: `Delete “${album.title}”?`, text: "Its works can be drawn again; their order is lost.", action: "Delete the album",
    send: () => send("DELETE", `/api/albums/${album.id}`),
  });
  if (gone) go("/albums");
}

function filled(works, onremove) {
  const tiles = works.map((work) => {
    const tile = emptyTile();
    hang(tile, work, { onremove });
    return tile;
  });
  const list = wallOf(tiles);
  makeCurrent(list, tiles[0]);
  return list;
}
