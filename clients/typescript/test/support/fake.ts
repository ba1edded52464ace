import { once } from "node:events";
import { createSecureServer, createServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.js";
import { durationFromMs } from "@runindex/client";

export interface Fake {
  readonly address: string;
  /** Cuts every connection off, as a crash would. */
  cut(): void;
  stop(): Promise<void>;
}

/** Starts a server that misbehaves as its routes say. */
export async function startFake(
  routes: (router: ConnectRouter) => void,
  tls?: { key: string; cert: string },
): Promise<Fake> {
  const handler = connectNodeAdapter({ routes });
  const server = tls ? createSecureServer(tls, handler) : createServer(handler);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    async stop() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}

/** The refusal of a server that is overloaded. */
export function unavailable(retryDelayMs?: number): ConnectError {
  const details =
    retryDelayMs === undefined
      ? []
      : [{ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryDelayMs) } }];
  return new ConnectError("Too much is waiting.", Code.Unavailable, undefined, details);
}
