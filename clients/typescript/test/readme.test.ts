import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startServer } from "./support/server.js";

// This file runs as build/test/readme.test.js: what lies there finds the package by its name.
const README = new URL("../../README.md", import.meta.url);
const PROGRAM = fileURLToPath(new URL("nightly.mjs", import.meta.url));

/** The blocks of code in a language, in order. */
async function blocks(language: string): Promise<string[]> {
  const found = (await readFile(README, "utf8")).matchAll(/^```(\w+)\n(.*?)^```$/gms);
  return [...found].filter(([, name]) => name === language).map(([, , code = ""]) => code);
}

test("the programs of the README run", async (t) => {
  const server = await startServer();
  t.after(() => server.stop("SIGKILL"));
  const [program = ""] = await blocks("js");
  const fragments = (await blocks("ts")).map((block) => `{\n${block}\n}`);
  const last = "client.close();";
  assert.ok(program.includes(last));
  await writeFile(PROGRAM, [
    'import { RunIndexError, TagOrder } from "@runindex/client";',
    program.replace(last, `const runId = run.runId;\n${fragments.join("\n")}\n${last}`),
  ].join("\n"));
  const env = { ...process.env, RUNINDEX_ADDRESS: server.address };
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM], { env });
  assert.match(stdout, /^[0-9a-f-]{36} COMPLETED\nno space left\nRUN_STATE_ARCHIVED\n$/);
});
