export { Code } from "@connectrpc/connect";
export type { CallOptions, Interceptor } from "@connectrpc/connect";
export {
  durationFromMs,
  durationMs,
  timestampDate,
  timestampFromDate,
} from "@bufbuild/protobuf/wkt";
export { RunIndexClient } from "./client.js";
export { RunIndexError, type FieldViolation, type Reason } from "./error.js";
export * from "./gen/runindex/v1/insights_pb.js";
export * from "./gen/runindex/v1/maintenance_pb.js";
export * from "./gen/runindex/v1/run_data_pb.js";
export * from "./gen/runindex/v1/run_index_pb.js";
export * from "./gen/runindex/v1/templates_pb.js";
export { requestIds, retries, type RetryOptions } from "./interceptors.js";
export type { RunIndexClientOptions, TlsOptions } from "./options.js";
export { Pages, type IterationOptions } from "./pages.js";
export { fromDataValue, fromValue, toDataValue, toValue, type Data, type DataValueInit } from "./values.js";
