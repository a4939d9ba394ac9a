// Pictures enlarged by whole pixels: each pixel of a work is a square of the same number of the screen's pixels.
import { h } from "./dom.js";

const MOST = 16;

/** A picture that fills `room` as far as whole multiples go; with `tools` it can be made larger and smaller. */
export function zoomed(work, alt, { tools = true } = {}) {
  const image = h("img", { src: work.image, alt, width: work.width, height: work.height, class: "exact" });
  const output = h("output", {});
  const room = h("div", { class: "room" }, image);
  const zoom = h("div", { class: "zoom" }, room);
  let chosen = null;
  const show = () => {
    const dots = devicePixelRatio || 1;
    const width = image.naturalWidth || work.width;
    const height = image.naturalHeight || work.height;
    const { paddingLeft, paddingRight } = getComputedStyle(room);
    const room_width = room.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    const room_height = Math.max(200, innerHeight - 220);
    const fits = Math.floor(Math.min((room_width * dots) / width, (room_height * dots) / height));
    const times = chosen ?? Math.max(1, Math.min(MOST, fits));
    image.style.width = `${(width * times) / dots}px`;
    image.style.height = `${(height * times) / dots}px`;
    output.textContent = `${times}×`;
    zoom.times = times;
  };
  const step = (by) => ((chosen = Math.max(1, Math.min(MOST, zoom.times + by))), show());
  if (tools) {
    zoom.append(h("div", { class: "zoom-tools", role: "group", "aria-label": "Size" },
      h("button", { type: "button", class: "quiet", "aria-label": "Smaller", onclick: () => step(-1) }, "−"), output,
      h("button", { type: "button", class: "quiet", "aria-label": "Larger", onclick: () => step(1) }, "+"),
      h("button", { type: "button", class: "quiet", onclick: () => ((chosen = null), show()) }, "Fit")));
  }
  zoom.exchange = (other, words) => {
    image.src = other.image;
    image.alt = words;
  };
  image.addEventListener("load", show);
  new ResizeObserver(show).observe(room);
  return zoom;
}
