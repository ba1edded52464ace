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
  /** The bound of the random delay before the first retry; it doubles with each. */
  readonly delayMsMin?: number | undefined;
  /** What the bound grows to at most. */
  readonly delayMsMax?: number | undefined;
}

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
 * before. The delay is random below a growing bound, on top of the one that the server asks for.
 */
export function retries(options: RetryOptions = {}): Interceptor {
  const { attemptsMax = 5, delayMsMin = 100, delayMsMax = 5_000 } = options;
  return (next) => async (request) => {
    if (request.stream || !isRepeatable(request.method, request.message)) return next(request);
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request);
      } catch (cause) {
        const error = ConnectError.from(cause);
        if (error.code !== Code.Unavailable || attempt >= attemptsMax) throw error;
        const boundMs = Math.min(delayMsMax, delayMsMin * 2 ** (attempt - 1));
        const delayMs = (retryDelayMs(error) ?? 0) + Math.random() * boundMs;
        await sleep(delayMs, undefined, { signal: request.signal });
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

type Mutation = Message & { requestId?: string };

function takesRequestId(method: DescMethod): boolean {
  return method.input.field["requestId"] !== undefined;
}

function isRepeatable(method: DescMethod, message: Message): boolean {
  if (method.idempotency === IdempotencyLevel.NO_SIDE_EFFECTS) return true;
  return takesRequestId(method) && Boolean((message as Mutation).requestId);
}

function connectionError(error: unknown, isCanceled: boolean): unknown {
  if (!(error instanceof ConnectError)) return error;
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
