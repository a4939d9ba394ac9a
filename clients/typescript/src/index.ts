/** Client of Unikat: draws artworks by condition, and goes on by itself where a connection is lost. */

export { StudioError } from "./errors.js";
export { Generation } from "./generation.js";
export { type DrawOptions, type Format, type GenerateOptions, type Where, whereOf } from "./request.js";
export { Studio, type StudioOptions } from "./studio.js";
export type { Accepted, Artwork, Finished, Refused } from "./gen/unikat/v1/studio_pb.js";
export type { Model } from "./gen/unikat/v1/model_pb.js";
