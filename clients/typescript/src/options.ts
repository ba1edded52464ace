import { readFileSync } from "node:fs";
import type { SecureClientSessionOptions } from "node:http2";
import type { Interceptor } from "@connectrpc/connect";
import type { RetryOptions } from "./interceptors.js";

const ADDRESS_DEFAULT = "localhost:50051";
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** How to reach a server over TLS. All are PEM, in text or bytes. */
export interface TlsOptions {
  /** The authorities to trust, instead of those that come with Node. */
  readonly ca?: string | Buffer | undefined;
  /** The client's own certificate, where the server asks for one. */
  readonly cert?: string | Buffer | undefined;
  /** The key of `cert`. */
  readonly key?: string | Buffer | undefined;
  /** The name that the server's certificate has to have, when it is not the host of the address. */
  readonly serverName?: string | undefined;
}

/** How to reach a server. An argument stands over its environment variable. */
export interface RunIndexClientOptions {
  /** `host:port`. Else `RUNINDEX_ADDRESS`, else `localhost:50051`. */
  readonly address?: string | undefined;
  /** Sent as a bearer token; refused without TLS, but for loopback. Else `RUNINDEX_TOKEN`. */
  readonly token?: string | undefined;
  /** Whether, and how, to use TLS. Else whether `RUNINDEX_TLS_CA` names a file of authorities. */
  readonly tls?: boolean | TlsOptions | undefined;
  /** How long a call without a `timeoutMs` of its own may take, retries included: 30,000, 0 for ever.
   * Streams are not bounded by it. */
  readonly timeoutMs?: number | undefined;
  /** How calls are tried again when the server is unavailable; false for never. */
  readonly retry?: RetryOptions | false | undefined;
  /** Interceptors of your own. They see each call once, whatever is retried. */
  readonly interceptors?: readonly Interceptor[] | undefined;
}

/** Where a server is, and what to show it. */
export interface Target {
  readonly baseUrl: string;
  readonly session: SecureClientSessionOptions;
  readonly token: string | undefined;
}

/** Puts together the options and the environment. */
export function targetOf(options: RunIndexClientOptions, env = process.env): Target {
  const address = options.address ?? (env["RUNINDEX_ADDRESS"] || ADDRESS_DEFAULT);
  const token = options.token ?? (env["RUNINDEX_TOKEN"] || undefined);
  const tls = tlsOf(options.tls, env["RUNINDEX_TLS_CA"] || undefined);
  const url = parse(address, tls ? "https" : "http");
  if (token !== undefined && !tls && !LOOPBACK.test(url.hostname)) {
    // All clients begin with the same sentence.
    throw new TypeError(
      `a token is sent only over TLS, or to loopback: set tls or RUNINDEX_TLS_CA to reach ${address}`,
    );
  }
  return { baseUrl: url.origin, session: tls ?? {}, token };
}

function parse(address: string, scheme: "http" | "https"): URL {
  // The scheme's own port would be hidden by URL, and is as good as any other.
  if (/^[^/@?#\s]+:\d+$/.test(address) && URL.canParse(`${scheme}://${address}`)) {
    return new URL(`${scheme}://${address}`);
  }
  throw new TypeError(`The address is not host:port: ${JSON.stringify(address)}`);
}

function tlsOf(
  tls: RunIndexClientOptions["tls"],
  caPath: string | undefined,
): SecureClientSessionOptions | undefined {
  if (tls === false || (tls === undefined && caPath === undefined)) return undefined;
  const { ca, cert, key, serverName } = typeof tls === "object" ? tls : {};
  return {
    ca: ca ?? (caPath === undefined ? undefined : readFileSync(caPath)),
    cert,
    key,
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}
