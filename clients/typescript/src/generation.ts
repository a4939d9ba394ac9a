import { Code, type Client } from "@connectrpc/connect";

import { StudioError } from "./errors.js";
import type { Accepted, Artwork, Finished, GenerateRequest, GenerateResponse, Refused } from "./gen/unikat/v1/studio_pb.js";
import { Studio as Service } from "./gen/unikat/v1/studio_pb.js";
import { Patience } from "./patience.js";

/**
 * The images of one call, in the order of their indexes, as they are drawn, over as many connections as it takes: a
 * connection that is lost is made again, and the call goes on behind the last image that arrived.
 *
 * It begins when it is iterated, once. Leaving the loop calls it off.
 */
export class Generation implements AsyncIterable<Artwork> {
  /** The request as the service resolved it; undefined until the service has taken it. */
  accepted: Accepted | undefined;
  /** The totals; undefined until the last image was taken. */
  finished: Finished | undefined;
  /** Images that were drawn and are not delivered, so far. */
  readonly refused: Refused[] = [];

  readonly #client: Client<typeof Service>;
  readonly #request: GenerateRequest;
  readonly #patience: Patience;
  readonly #signal: AbortSignal | undefined;
  #received = 0;

  constructor(client: Client<typeof Service>, request: GenerateRequest, patience: Patience, signal?: AbortSignal) {
    this.#client = client;
    this.#request = request;
    this.#patience = patience;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Artwork, void, undefined> {
    while (!this.finished) {
      try {
        yield* this.#connected();
        if (!this.finished) throw StudioError.of(Code.Unavailable, "the service ended the stream before its end");
      } catch (thrown) {
        await this.#patience.pauseAfter(StudioError.from(thrown, this.#signal), this.#signal);
      }
    }
  }

  async *#connected(): AsyncGenerator<Artwork, void, undefined> {
    if (this.#received) this.#request.afterIndex = this.#due - 1;
    const timeoutMs = this.#patience.remainingMs;
    const options = { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(this.#signal ? { signal: this.#signal } : {}) };
    for await (const response of this.#client.generate(this.#request, options)) {
      const artwork = this.#take(response);
      if (artwork) yield artwork;
    }
  }

  get #due(): number {
    return this.#request.firstIndex + this.#received;
  }

  #take({ event }: GenerateResponse): Artwork | undefined {
    switch (event.case) {
      case "accepted":
        this.#takeAccepted(event.value);
        return undefined;
      case "artwork":
        this.#arrived(event.value.index);
        return event.value;
      case "refused":
        this.#arrived(event.value.index);
        this.refused.push(event.value);
        return undefined;
      case "finished":
        if (this.#received !== this.accepted?.count) throw lost(`the stream ended when image ${this.#due} was due`);
        this.finished = event.value;
        return undefined;
      default:
        return undefined; // of a later release
    }
  }

  #takeAccepted(accepted: Accepted): void {
    const before = this.accepted;
    if (before && (before.modelDigest !== accepted.modelDigest || before.seed !== accepted.seed)) {
      throw lost(`image ${this.#due} would come from another model or seed than those before it: pin the model's version`);
    }
    this.accepted = accepted;
    if (!before) this.#patience.progressed();
  }

  #arrived(index: number): void {
    if (index !== this.#due) throw lost(`image ${this.#due} is due, but image ${index} arrived`);
    this.#received += 1;
    this.#patience.progressed();
  }
}

function lost(message: string): StudioError {
  return StudioError.of(Code.DataLoss, message);
}
