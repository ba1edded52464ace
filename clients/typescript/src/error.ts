import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { ErrorReason } from "./gen/runindex/v1/run_index_pb.js";

const DOMAIN = "runindex";

/** A name of the contract's `ErrorReason`. Servers may send others: treat those by the code. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED"> | (string & {});

/** What is wrong with one field of a request. */
export interface FieldViolation {
  /** The field, as a path. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/**
 * The one error of every call. Branch on `code` and `reason`; the message is for people.
 *
 * `reason` is unset when the call ended without an answer of the server: it was not reached, the
 * deadline passed, or the caller aborted.
 */
export class RunIndexError extends Error {
  override readonly name = "RunIndexError";

  constructor(
    message: string,
    /** The gRPC status code. */
    readonly code: Code,
    /** Why the server refused. */
    readonly reason: Reason | undefined,
    /** What belongs to the reason, by the keys that the contract tells. */
    readonly metadata: Readonly<Record<string, string>>,
    /** The fields at fault, for an argument that was refused. */
    readonly fieldViolations: readonly FieldViolation[],
    /** When to try again at the earliest, in milliseconds, if the server told. */
    readonly retryDelayMs: number | undefined,
    /** The method that was called, as `service/method`. */
    readonly method: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Turns whatever a transport throws into a RunIndexError. */
  static from(cause: unknown, method: string): RunIndexError {
    if (cause instanceof RunIndexError) return cause;
    const error = ConnectError.from(cause);
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
    const fields = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    return new RunIndexError(
      error.rawMessage,
      error.code,
      info?.reason,
      info?.metadata ?? {},
      fields.map(({ field, description }) => ({ field, description })),
      retryDelayMs(error),
      method,
      { cause: error },
    );
  }
}

/** The delay that the server asks for before a retry, in milliseconds. */
export function retryDelayMs(error: ConnectError): number | undefined {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && durationMs(delay);
}
