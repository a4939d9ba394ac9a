// Keys of owners: Ed25519, made in the browser and saved as the file that `unikat keys owner` writes.

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (base64url) => Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

/** A new key as hex digits: its seed and its public half. Rejects where the browser cannot make one. */
export async function newKey() {
  const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
  const { d, x } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return { seed: hex(bytesOf(d)), public: hex(bytesOf(x)) };
}

/** Name and text of a key's file; the key is called after its owner, as far as a-z, 0-9 and - go. */
export function keyFile(owner, seed) {
  const id = owner.normalize("NFKD").replaceAll(/\p{M}/gu, "").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-+|-+$/g, "").slice(0, 32) || "owner";
  return { name: `${id}.key`, text: `${id} ${seed}\n` };
}

export function downloadKey(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
