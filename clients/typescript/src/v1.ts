/** The contract itself: the messages and services of `unikat.v1`. */

export * from "./gen/unikat/v1/batches_pb.js";
export * from "./gen/unikat/v1/model_pb.js";
export * from "./gen/unikat/v1/provenance_pb.js";
export * from "./gen/unikat/v1/studio_pb.js";
