import type { SecureClientSessionOptions } from "node:http2";

import { type CallOptions, type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { StudioError } from "./errors.js";
import type { Model } from "./gen/unikat/v1/model_pb.js";
import { type Artwork, Studio as Service } from "./gen/unikat/v1/studio_pb.js";
import { Generation } from "./generation.js";
import { Patience } from "./patience.js";
import { type DrawOptions, type GenerateOptions, requestOf, type Where } from "./request.js";

/** Milliseconds for which a lost call is sent again that only reads. */
const ASK_AGAIN_MS = 1500;
const ASK_MS = 10_000;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

export interface StudioOptions {
  /** Encrypts, trusting the authorities of Node; `ca`, `cert` and `key` are PEM, and imply it. */
  tls?: boolean;
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  /** Bearer token; by default $UNIKAT_TOKEN. */
  token?: string;
  /** For how long a call keeps trying to reach the service without getting anything further (60,000 ms). */
  reconnectMs?: number;
}

/** A connection to a service. `target` is "host:port", by default $UNIKAT_TARGET, then localhost:50051. */
export class Studio {
  readonly target: string;
  /** The contract's own methods, for what this class leaves out. */
  readonly client: Client<typeof Service>;

  readonly #sessions: Http2SessionManager;
  readonly #reconnectMs: number;

  /** Throws TypeError for a token that would be sent in plaintext to another machine. */
  constructor(target?: string, options: StudioOptions = {}) {
    this.target = target ?? process.env["UNIKAT_TARGET"] ?? "localhost:50051";
    const { ca, cert, key } = options;
    const isSecure = options.tls || ca !== undefined || cert !== undefined;
    const baseUrl = `${isSecure ? "https" : "http"}://${this.target}`;
    const token = options.token ?? process.env["UNIKAT_TOKEN"] ?? "";
    if (token && !isSecure && !LOOPBACK.has(new URL(baseUrl).hostname)) {
      throw new TypeError(`the token would be sent to ${this.target} for everybody on the way to read: use tls`);
    }
    const nodeOptions: SecureClientSessionOptions = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    // A dead connection is noticed within 14 s while a call waits for images; an idle one sends nothing.
    const pings = { pingIntervalMs: 10_000, pingTimeoutMs: 4_000, pingIdleConnection: false };
    this.#sessions = new Http2SessionManager(baseUrl, pings, nodeOptions);
    const interceptors = token ? [showing(token)] : [];
    this.client = createClient(Service, createGrpcTransport({ baseUrl, interceptors, sessionManager: this.#sessions }));
    this.#reconnectMs = options.reconnectMs ?? 60_000;
  }

  /** Draws `count` images of a model: "portraits", or "portraits@1". It and its iteration throw `StudioError`. */
  generate(model: string, where: Where = {}, options: GenerateOptions = {}): Generation {
    const patience = new Patience(this.#reconnectMs, options.timeoutMs);
    return new Generation(this.client, requestOf(model, where, options), patience, options.signal);
  }

  /** Draws one image; `accepted` is with it. Throws `StudioError`. */
  async draw(model: string, where: Where = {}, options: DrawOptions = {}): Promise<Artwork> {
    const request = requestOf(model, where, { ...options, count: 1 });
    return this.#ask((call) => this.client.draw(request, call), this.#reconnectMs, options.timeoutMs, options.signal);
  }

  /** The models that live workers serve, without their combinations. Throws `StudioError`. */
  async models(): Promise<Model[]> {
    const found: Model[] = [];
    let pageToken = "";
    do {
      const page = await this.#ask((call) => this.client.listModels({ pageToken }, call), ASK_AGAIN_MS, ASK_MS);
      found.push(...page.models);
      pageToken = page.nextPageToken;
    } while (pageToken);
    return found;
  }

  /** One model, complete. Throws `StudioError`. */
  async model(name: string): Promise<Model> {
    return this.#ask((call) => this.client.getModel({ name }, call), ASK_AGAIN_MS, ASK_MS);
  }

  /** Ends every call and the connection. */
  close(): void {
    this.#sessions.abort();
  }

  async #ask<T>(
    call: (options: CallOptions) => Promise<T>,
    againMs: number,
    timeoutMs: number | undefined,
    signal?: AbortSignal,
  ): Promise<T> {
    const patience = new Patience(againMs, timeoutMs);
    for (;;) {
      const remaining = patience.remainingMs;
      try {
        return await call({ ...(remaining === undefined ? {} : { timeoutMs: remaining }), ...(signal ? { signal } : {}) });
      } catch (thrown) {
        await patience.pauseAfter(StudioError.from(thrown, signal), signal);
      }
    }
  }
}

function showing(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
