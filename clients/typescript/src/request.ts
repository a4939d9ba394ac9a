import { randomBytes, randomUUID } from "node:crypto";

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { StudioError } from "./errors.js";
import {
  type Condition,
  ConditionSchema,
  type GenerateRequest,
  GenerateRequestSchema,
  ImageFormat,
  OriginalityMode,
  type RecipeSchema,
  type WalkSchema,
} from "./gen/unikat/v1/studio_pb.js";

/** What to draw: attribute to category, or to the weights of several. */
export type Where = Readonly<Record<string, string | Readonly<Record<string, number>>>>;

const FORMATS = { png: ImageFormat.PNG, webp: ImageFormat.WEBP, jpeg: ImageFormat.JPEG } as const;
const ORIGINALITY = { off: OriginalityMode.OFF, warn: OriginalityMode.WARN, enforce: OriginalityMode.ENFORCE } as const;

const SCALES = 4096;
const MAX_SEED = 2n ** 64n - 1n;

export type Format = keyof typeof FORMATS;

/** What one image can be asked for with; what is left out is the service's or the model's default. */
export interface DrawOptions {
  /** 0 to 2^64 - 1. Left out, one is picked; `accepted.seed` says which. */
  seed?: bigint | number;
  /** A latent in place of a seed. */
  recipe?: MessageInitShape<typeof RecipeSchema>;
  /** A way between latents, in place of a seed. */
  walk?: MessageInitShape<typeof WalkSchema>;
  /** Index of the (first) image. */
  index?: number;
  /** 0 to 2. */
  truncation?: number;
  format?: Format;
  /** Of a model with alpha: "#rrggbb", a name of CSS, or "none". */
  background?: string;
  originality?: keyof typeof ORIGINALITY;
  /** Attempt to begin with, as an artwork says it. */
  attempt?: number;
  /** Two calls with the same one share a job. */
  requestId?: string;
  /** For the whole call. */
  timeoutMs?: number;
  /** Calls it off. */
  signal?: AbortSignal;
}

export interface GenerateOptions extends DrawOptions {
  /** Number of images; 1 if left out. */
  count?: number;
}

/**
 * A request that can be sent twice and mean the same: it has a seed, a recipe or a walk, and a request_id.
 *
 * Throws StudioError for a number that its field does not hold: sent, it would look like a service that was lost.
 */
export function requestOf(model: string, where: Where, options: GenerateOptions): GenerateRequest {
  const { seed, recipe, walk } = options;
  const request = create(GenerateRequestSchema, {
    model,
    conditions: Object.entries(where).map(([attribute, value]) => conditionOf(attribute, value)),
    count: options.count ?? 1,
    firstIndex: options.index ?? 0,
    format: FORMATS[options.format ?? "png"],
    background: options.background ?? "",
    attempt: options.attempt ?? 0,
    requestId: options.requestId ?? randomUUID(),
    originality: options.originality ? ORIGINALITY[options.originality] : OriginalityMode.UNSPECIFIED,
    ...(options.truncation === undefined ? {} : { truncation: options.truncation }),
    ...(recipe === undefined ? {} : { recipe }),
    ...(walk === undefined ? {} : { walk }),
  });
  if (seed !== undefined || (recipe === undefined && walk === undefined)) request.seed = seedOf(seed ?? pickedSeed());
  try {
    toBinary(GenerateRequestSchema, request);
  } catch (thrown) {
    throw new StudioError(ConnectError.from(thrown, Code.InvalidArgument), true);
  }
  return request;
}

/** The inverse of conditions: what an artwork was drawn by, as a request takes it to come to the same again. */
export function whereOf(conditions: readonly Condition[]): Where {
  return Object.fromEntries(
    conditions.map(({ attribute, value }) => [
      attribute,
      value.case === "blend" ? asSent(value.value.weights) : (value.value ?? ""),
    ]),
  );
}

/**
 * Weights of a blend such that the service, which divides them by their sum, comes to these again: a request holds
 * float32, whose sum is not always exactly 1, so that dividing by it can change the last bit of a weight.
 */
function asSent(weights: Readonly<Record<string, number>>): Record<string, number> {
  const wanted = Object.entries(weights);
  for (let scale = 1; scale < SCALES; scale += 1) {
    const sent = wanted.map(([, weight]) => Math.fround(weight * scale));
    const total = sent.reduce((sum, weight) => sum + weight, 0);
    if (wanted.every(([, weight], i) => Math.fround(sent[i]! / total) === weight)) {
      return Object.fromEntries(wanted.map(([name], i) => [name, sent[i]!]));
    }
  }
  return { ...weights };
}

function conditionOf(attribute: string, value: string | Readonly<Record<string, number>>): Condition {
  return typeof value === "string"
    ? create(ConditionSchema, { attribute, value: { case: "category", value } })
    : create(ConditionSchema, { attribute, value: { case: "blend", value: { weights: { ...value } } } });
}

function seedOf(seed: bigint | number): bigint {
  const isWhole = typeof seed === "bigint" || Number.isInteger(seed);
  if (isWhole && seed >= 0 && seed <= MAX_SEED) return BigInt(seed);
  throw StudioError.refusing("seed", `must be a whole number from 0 to ${MAX_SEED}, not ${seed}`);
}

/** 53 bits: it survives JSON and spreadsheets. */
function pickedSeed(): bigint {
  return randomBytes(8).readBigUInt64BE() >> 11n;
}
