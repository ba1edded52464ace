import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

// This file runs as build/test/support/server.js.
const PROGRAM =
  process.env["RUNINDEX_SERVER"] ??
  fileURLToPath(new URL("../../../../../.venv/bin/runindex-server", import.meta.url));

// No server outlives the tests, whatever ends them.
process.once("SIGTERM", () => process.exit(1));

export interface Server {
  readonly address: string;
  /** Ends the server by SIGTERM, or by SIGKILL, and removes its store. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a real server on an empty store; on a free port unless one is given. */
export async function startServer(port = 0): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), "runindex-test-"));
  const args = ["serve", "--address", `127.0.0.1:${port}`, "--data-dir", folder, "--drain-s", "1"];
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "ignore"] });
  const exit = once(child, "exit");
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const lines = createInterface({ input: child.stdout });
  const line = await Promise.race([once(lines, "line"), exit.then(() => [""])]);
  const address = /127\.0\.0\.1:(\d+)/.exec(String(line[0]))?.[0];
  if (address === undefined) {
    kill();
    throw new Error(`${PROGRAM} did not say where it listens: ${String(line[0])}`);
  }
  return {
    address,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await exit;
      process.off("exit", kill);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
