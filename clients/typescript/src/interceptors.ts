import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { clone, type DescMethod, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { retryDelayMs } from "./error.js";

/** How calls are tried again. */
export interface RetryOptions {
  /** How often a call is sent at most, the first time included. */
  readonly attemptsMax?: number | undefined;
  /** The delay before the first retry at its longest; it doubles with each. */
  readonly delayMsMin?: number | undefined;
  /** What the delay grows to at most, not counting what a server asks for. */
  readonly delayMsMax?: number | undefined;
}

/** Time and chance, which tests replace. */
export interface Sources {
  /** A clock, in milliseconds. */
  now(): number;
  /** Numbers from 0 to below 1. */
  random(): number;
  /** Waits, or throws when the signal aborts. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>;
}

const SOURCES: Sources = {
  now: () => performance.now(),
  random: () => Math.random(),
  sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
};

/** Sends `authorization: Bearer <token>`. */
export function bearerToken(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

/** Gives each mutation that has no `request_id` a random one, so that it is safe to retry. */
export function requestIds(): Interceptor {
  return (next) => (request) => {
    if (request.stream || !takesRequestId(request.method)) return next(request);
    if ((request.message as Mutation).requestId !== undefined) return next(request);
    // A copy: the message is the caller's, who may send it again and mean another call.
    const message = clone(request.method.input, request.message) as Mutation;
    message.requestId = randomUUID();
    return next({ ...request, message });
  };
}

/**
 * Tries calls again that ended with UNAVAILABLE, as long as the deadline and the signal allow.
 *
 * Streams are not retried, and a mutation only under its request id, which `requestIds` has to set
 * before. The delay is drawn between the half and the whole of one that doubles, so that callers who
 * failed together do not come back together; it is never less than what the server asks for.
 */
export function retries(options: RetryOptions = {}, sources: Sources = SOURCES): Interceptor {
  const { attemptsMax = 5, delayMsMin = 100, delayMsMax = 2_000 } = options;
  return (next) => async (request) => {
    if (request.stream || !isRepeatable(request.method, request.message)) return next(request);
    const endMs = sources.now() + timeoutMsOf(request.header);
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request);
      } catch (cause) {
        const error = ConnectError.from(cause);
        if (error.code !== Code.Unavailable || attempt >= attemptsMax) throw error;
        const wholeMs = Math.min(delayMsMax, delayMsMin * 2 ** (attempt - 1));
        const drawnMs = wholeMs * (0.5 + sources.random() / 2);
        const delayMs = Math.max(drawnMs, retryDelayMs(error) ?? 0);
        if (delayMs >= endMs - sources.now()) throw error;
        await sources.sleep(delayMs, request.signal);
        // What is left, for the server to know: the header was made for the first attempt.
        const leftMs = Math.max(Math.ceil(endMs - sources.now()), 1);
        if (leftMs < Infinity) request.header.set(TIMEOUT_HEADER, `${leftMs}m`);
      }
    }
  };
}

/**
 * Tells a lost connection as UNAVAILABLE, as gRPC does everywhere else. The transport tells it as
 * ABORTED or INTERNAL, which in the contract are answers of the server, or as CANCELED.
 */
export function lostConnections(isClosed: () => boolean): Interceptor {
  return (next) => async (request) => {
    if (isClosed()) throw new ConnectError("The client is closed.", Code.Canceled);
    const isCanceled = () => request.signal.aborted || isClosed();
    const map = (error: unknown) => connectionError(error, isCanceled());
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: mapErrors(response.message, map) };
    } catch (error) {
      throw map(error);
    }
  };
}

/** Passes on what an iterable yields, and what `map` makes of its error. */
export async function* mapErrors<T>(
  source: AsyncIterable<T>,
  map: (error: unknown) => unknown,
): AsyncGenerator<T, void, undefined> {
  try {
    yield* source;
  } catch (error) {
    throw map(error);
  }
}

// The transport puts a call's time there, in milliseconds.
const TIMEOUT_HEADER = "grpc-timeout";

function timeoutMsOf(header: Headers): number {
  const found = /^(\d+)m$/.exec(header.get(TIMEOUT_HEADER) ?? "");
  return found ? Number(found[1]) : Infinity;
}

type Mutation = Message & { requestId?: string };

function takesRequestId(method: DescMethod): boolean {
  return method.input.field["requestId"] !== undefined;
}

function isRepeatable(method: DescMethod, message: Message): boolean {
  if (method.idempotency === IdempotencyLevel.NO_SIDE_EFFECTS) return true;
  return takesRequestId(method) && Boolean((message as Mutation).requestId);
}

function connectionError(error: unknown, isCanceled: boolean): unknown {
  // What carries a status was answered, whatever its code.
  if (!(error instanceof ConnectError) || error.metadata.has("grpc-status")) return error;
  // Node cancels the streams of a connection that it lost.
  const isLost =
    error.code === Code.Canceled
      ? !isCanceled
      : (error.code === Code.Aborted || error.code === Code.Internal) && isOfNode(error.cause);
  if (!isLost) return error;
  const message = `The connection failed: ${error.rawMessage}`;
  return new ConnectError(message, Code.Unavailable, undefined, undefined, error);
}

/** Whether an error comes from Node, with a code such as ECONNRESET, and not from the server. */
function isOfNode(cause: unknown): boolean {
  return cause instanceof Error && typeof (cause as NodeJS.ErrnoException).code === "string";
}
