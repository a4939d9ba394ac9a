import { Code, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const DOMAIN = "unikat";

/** Codes with which a call ends whose connection was refused, lost or reset, where the service said nothing itself. */
const CUT_OFF = new Set([Code.Unavailable, Code.Internal, Code.Unknown, Code.Canceled, Code.Aborted]);

/** What a service reported, or the lack of one that answers. */
export class StudioError extends Error {
  override readonly name = "StudioError";
  /** The gRPC code. */
  readonly code: Code;
  /** Name of the reason, such as "MODEL_NOT_FOUND"; "" where the error did not come from Unikat. */
  readonly reason: string;
  /** Of each field that is wrong, what is allowed. */
  readonly fields: Readonly<Record<string, string>>;
  /** Milliseconds after which a second try makes sense, where the service said so. */
  readonly retryAfterMs: number | undefined;
  /** Whether the service was lost, or is about to be: the same request, sent again, goes on. */
  readonly isLost: boolean;

  constructor(error: ConnectError, isOurs = false) {
    super(error.rawMessage, { cause: error });
    const info = error.findDetails(ErrorInfoSchema).find((each) => each.domain === DOMAIN);
    this.reason = info?.reason ?? "";
    const cutOff = !isOurs && !info && CUT_OFF.has(error.code);
    this.code = cutOff ? Code.Unavailable : error.code;
    this.isLost = this.code === Code.Unavailable;
    const bad = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations);
    this.fields = Object.fromEntries(bad.map((each) => [each.field, each.description]));
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.retryAfterMs = delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }

  /** The typed error for anything that a call throws, which its `signal` may have called off. */
  static from(thrown: unknown, signal?: AbortSignal): StudioError {
    if (signal?.aborted) return StudioError.of(Code.Canceled, "the call was cancelled");
    return thrown instanceof StudioError ? thrown : new StudioError(ConnectError.from(thrown));
  }

  /** An error that this client found. */
  static of(code: Code, message: string): StudioError {
    return new StudioError(new ConnectError(message, code), true);
  }

  /** A field that this client found to be wrong, and what is allowed. */
  static refusing(field: string, description: string): StudioError {
    const details = [{ desc: BadRequestSchema, value: { fieldViolations: [{ field, description }] } }];
    return new StudioError(new ConnectError(`${field}: ${description}`, Code.InvalidArgument, undefined, details), true);
  }
}
