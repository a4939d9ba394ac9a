import { setTimeout as wait } from "node:timers/promises";

import { StudioError } from "./errors.js";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;

/** How long a call that lost its service is tried again: pauses that grow, until nothing has come for too long. */
export class Patience {
  readonly #reconnectMs: number;
  readonly #deadline: number | undefined;
  #failures = 0;
  #giveUpAt: number | undefined;

  constructor(reconnectMs: number, timeoutMs: number | undefined) {
    this.#reconnectMs = reconnectMs;
    this.#deadline = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
  }

  /** Milliseconds that the next try has. */
  get remainingMs(): number | undefined {
    return this.#deadline === undefined ? undefined : Math.max(1, this.#deadline - Date.now());
  }

  /** Something arrived: whatever breaks from here on is a new trouble. */
  progressed(): void {
    this.#failures = 0;
    this.#giveUpAt = undefined;
  }

  /** Waits before the next try, or throws `error` where another one is not worth it. */
  async pauseAfter(error: StudioError, signal: AbortSignal | undefined): Promise<void> {
    const now = Date.now();
    this.#giveUpAt ??= now + this.#reconnectMs;
    // Full jitter would allow pauses of nothing; half of it keeps many clients apart as well.
    const grown = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    const pause = Math.max(grown, (error.retryAfterMs ?? 0) * (1 + Math.random() / 10));
    const end = Math.min(this.#giveUpAt, this.#deadline ?? Infinity);
    if (!error.isLost || now + pause > end) throw error;
    this.#failures += 1;
    try {
      await wait(pause, undefined, signal ? { signal } : {});
    } catch {
      throw StudioError.from(error, signal); // called off meanwhile
    }
  }
}
