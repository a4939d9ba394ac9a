// Calls of this server. What is wrong is thrown as a Problem, with the controls that caused it.

export class Problem extends Error {
  constructor({ message, fields = {}, retry_after = null, standing = null }) {
    super(message);
    this.fields = fields;
    this.standing = standing; // the claimed work that stands against a claim
    this.retryAfter = retry_after;
  }
}

const UNREACHABLE = { message: "The gallery does not answer. Is it still running?" };

/** The response to a request that went well. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  if (response.ok) return response;
  let said = null;
  try {
    said = await response.json();
  } catch {
    said = { message: `The gallery answered with ${response.status}.` };
  }
  throw new Problem(said);
}

export const get = async (path, options) => (await request(path, options)).json();

export const send = async (method, path, body) =>
  (await request(path, { method, body: body === undefined ? undefined : JSON.stringify(body) })).json();

let known = null;

/** The models that are served; asked for once a page. */
export function models() {
  known ??= get("/api/models").then((answer) => answer.models);
  known.catch(() => (known = null));
  return known;
}

/**
 * Listen to events until the last one. A browser that is cut off comes back by itself and says which work it had last.
 * `on` has `accepted`, `work`, `refused`, `finished`, `problem` and `waiting` (cut off). Returns what ends it.
 */
export function listen(path, on) {
  const source = new EventSource(path);
  const end = () => source.close();
  for (const name of ["accepted", "work", "refused"]) {
    source.addEventListener(name, (event) => on[name]?.(JSON.parse(event.data), event.lastEventId));
  }
  source.addEventListener("finished", () => (end(), on.finished?.()));
  source.addEventListener("problem", (event) => (end(), on.problem?.(new Problem(JSON.parse(event.data)))));
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) on.problem?.(new Problem(UNREACHABLE));
    else on.waiting?.();
  };
  return end;
}
