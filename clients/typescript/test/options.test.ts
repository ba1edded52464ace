import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { ConnectRouter } from "@connectrpc/connect";
import { Code, RunIndex, RunIndexClient } from "@runindex/client";
import { startFake } from "./support/fake.js";

let folder: string;
let cert: string;
let key: string;
let tokens: (string | null)[];

const routes = (router: ConnectRouter) => {
  router.rpc(RunIndex.method.getRun, (_, context) => {
    tokens.push(context.requestHeader.get("authorization"));
    return {};
  });
};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "runindex-test-"));
  await promisify(execFile)(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"].concat(
      ["-subj", "/CN=runs.test", "-addext", "subjectAltName=DNS:runs.test,IP:127.0.0.1"],
      ["-keyout", "key.pem", "-out", "ca.pem"],
    ),
    { cwd: folder },
  );
  cert = await readFile(join(folder, "ca.pem"), "utf8");
  key = await readFile(join(folder, "key.pem"), "utf8");
});

after(() => rm(folder, { recursive: true }));

/** Sets environment variables for one test. */
function setEnv(t: TestContext, variables: Record<string, string>): void {
  Object.assign(process.env, variables);
  t.after(() => Object.keys(variables).forEach((name) => delete process.env[name]));
}

test("TLS and token come from the options", async (t) => {
  tokens = [];
  const fake = await startFake(routes, { cert, key });
  t.after(() => fake.stop());
  for (const tls of [{ ca: cert }, { ca: cert, serverName: "runs.test" }]) {
    const client = new RunIndexClient({ address: fake.address, token: "secret", tls });
    await client.runIndex.getRun({ runId: "default" });
    client.close();
  }
  assert.deepEqual(tokens, ["Bearer secret", "Bearer secret"]);
});

test("address, TLS and token come from the environment", async (t) => {
  tokens = [];
  const fake = await startFake(routes, { cert, key });
  t.after(() => fake.stop());
  setEnv(t, {
    RUNINDEX_ADDRESS: fake.address,
    RUNINDEX_TOKEN: "secret",
    RUNINDEX_TLS_CA: join(folder, "ca.pem"),
  });
  const client = new RunIndexClient();
  await client.runIndex.getRun({ runId: "default" });
  client.close();
  assert.deepEqual(tokens, ["Bearer secret"]);
});

test("a server whose certificate is not trusted is not reached", async (t) => {
  tokens = [];
  const fake = await startFake(routes, { cert, key });
  t.after(() => fake.stop());
  const client = new RunIndexClient({ address: fake.address, token: "secret", tls: true, retry: false });
  t.after(() => client.close());
  await assert.rejects(client.runIndex.getRun({ runId: "default" }), { code: Code.Unavailable });
  assert.deepEqual(tokens, []);
});

test("a token is not sent in the clear, but to this machine", async (t) => {
  tokens = [];
  assert.throws(() => new RunIndexClient({ address: "runs.test:50051", token: "secret" }), {
    name: "TypeError",
    message: /^a token is sent only over TLS, or to loopback: (?!.*secret)/,
  });
  const fake = await startFake(routes);
  t.after(() => fake.stop());
  const client = new RunIndexClient({ address: fake.address, token: "secret" });
  await client.runIndex.getRun({ runId: "default" });
  client.close();
  assert.deepEqual(tokens, ["Bearer secret"]);
});

test("an address is host:port", () => {
  for (const address of ["localhost:80", "[::1]:50051", "runs.test:443"]) {
    new RunIndexClient({ address });
  }
  for (const address of ["localhost", "http://localhost:50051", "localhost:x", ":1", "a/b:1", "u@h:1"]) {
    assert.throws(() => new RunIndexClient({ address }), TypeError, address);
  }
});
