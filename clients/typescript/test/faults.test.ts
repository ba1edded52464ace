import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  Maintenance,
  RunIndex,
  RunIndexClient,
  type RunIndexClientOptions,
  toDataValue,
  RunData,
} from "@runindex/client";
import { type Fake, startFake, unavailable } from "./support/fake.js";
import { startServer } from "./support/server.js";

const QUICK = { delayMsMin: 1, delayMsMax: 2 };

async function setUp(
  t: TestContext,
  routes: (router: ConnectRouter) => void,
  options: RunIndexClientOptions = { retry: QUICK },
): Promise<{ client: RunIndexClient; fake: Fake }> {
  const fake = await startFake(routes);
  const client = new RunIndexClient({ ...options, address: fake.address });
  t.after(async () => {
    client.close();
    await fake.stop();
  });
  return { client, fake };
}

test("an unavailable server is asked again, under the same request id", async (t) => {
  const requestIds: (string | undefined)[] = [];
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.createRun, (request) => {
      requestIds.push(request.requestId);
      if (requestIds.length < 3) throw unavailable();
      return { revision: 7n };
    });
  });
  assert.equal((await client.runIndex.createRun({})).revision, 7n);
  assert.equal(requestIds.length, 3);
  assert.match(requestIds[0] ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(new Set(requestIds).size, 1);
});

test("every mutation carries a request id, and no read does", async (t) => {
  const bodies: string[] = [];
  const { client } = await setUp(t, (router) => {
    router.rpc(RunData.method.putValue, (request) => (bodies.push(request.requestId ?? ""), {}));
    router.rpc(RunIndex.method.deleteRun, (request) => (bodies.push(request.requestId ?? ""), {}));
    router.rpc(RunIndex.method.getRun, (request) => (bodies.push(request.runId), {}));
  });
  await client.runData.putValue({ runId: "default", key: "k", value: toDataValue(1) });
  await client.runIndex.deleteRun({ runId: "default", requestId: "mine" });
  await client.runIndex.getRun({ runId: "default" });
  assert.match(bodies[0] ?? "", /^[0-9a-f-]{36}$/);
  assert.deepEqual(bodies.slice(1), ["mine", "default"]);
});

test("the server's delay is respected", async (t) => {
  const times: number[] = [];
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.getRun, () => {
      times.push(performance.now());
      if (times.length < 2) throw unavailable(300);
      return {};
    });
  });
  await client.runIndex.getRun({ runId: "default" });
  const [first = 0, second = 0] = times;
  // A timer may fire a millisecond early.
  assert.ok(second - first >= 299, `${second - first} ms`);
});

test("attempts are bounded, and the last refusal is told", async (t) => {
  let calls = 0;
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.getRun, () => {
      calls++;
      throw unavailable(1);
    });
  });
  const expected = { code: Code.Unavailable, message: "Too much is waiting.", retryDelayMs: 1 };
  await assert.rejects(client.runIndex.getRun({ runId: "default" }), expected);
  assert.equal(calls, 5);
});

test("nothing but unavailable is tried again, and nothing when retries are off", async (t) => {
  let calls = 0;
  const routes = (router: ConnectRouter) => {
    router.rpc(RunIndex.method.getRun, ({ runId }) => {
      calls++;
      throw new ConnectError("No.", Number(runId));
    });
  };
  const { client } = await setUp(t, routes);
  for (let code = Code.Canceled; code <= Code.Unauthenticated; code++) {
    if (code === Code.Unavailable) continue;
    calls = 0;
    await assert.rejects(client.runIndex.getRun({ runId: String(code) }), { code });
    assert.equal(calls, 1, Code[code]);
  }
  const once = await setUp(t, routes, { retry: false });
  calls = 0;
  const call = once.client.runIndex.getRun({ runId: String(Code.Unavailable) });
  await assert.rejects(call, { code: Code.Unavailable });
  assert.equal(calls, 1);
});

test("a call ends at its deadline, retries included", async (t) => {
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.getRun, async (_, context) => {
      await once(context.signal, "abort");
      return {};
    });
  });
  const expected = { code: Code.DeadlineExceeded, reason: undefined };
  const options = { timeoutMs: 200 };
  await assert.rejects(client.runIndex.getRun({ runId: "default" }, options), expected);
});

test("a delay of which the deadline would be the end is not waited for", async (t) => {
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.getRun, () => {
      throw unavailable(60_000);
    });
  });
  const call = client.runIndex.getRun({ runId: "default" });
  await assert.rejects(call, { code: Code.Unavailable, retryDelayMs: 60_000 });
});

test("the client's own deadline holds for calls without one", async (t) => {
  const { client } = await setUp(
    t,
    (router) => {
      router.rpc(RunIndex.method.getRun, async (_, context) => {
        assert.ok((context.timeoutMs() ?? Infinity) <= 200);
        await once(context.signal, "abort");
        return {};
      });
    },
    { timeoutMs: 200 },
  );
  await assert.rejects(client.runIndex.getRun({ runId: "default" }), { code: Code.DeadlineExceeded });
});

test("a signal ends a call under way, and one that waits to be tried again", async (t) => {
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.getRun, async (_, context) => {
      await once(context.signal, "abort");
      return {};
    });
    router.rpc(RunIndex.method.runExists, () => {
      throw unavailable(20_000);
    });
  });
  for (const method of ["getRun", "runExists"] as const) {
    const call = client.runIndex[method]({ runId: "default" }, { signal: AbortSignal.timeout(100) });
    await assert.rejects(call, { name: "RunIndexError" });
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 100);
    const aborted = client.runIndex[method]({ runId: "default" }, { signal: abort.signal });
    await assert.rejects(aborted, { code: Code.Canceled });
  }
});

test("a connection that is lost under a call is tried again", async (t) => {
  let calls = 0;
  const { client, fake } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.createRun, () => {
      if (++calls === 1) fake.cut();
      return { revision: 7n };
    });
  });
  assert.equal((await client.runIndex.createRun({})).revision, 7n);
  assert.equal(calls, 2);
});

test("a closed client ends its calls, and makes no more", async (t) => {
  const { client } = await setUp(t, (router) => {
    router.rpc(RunIndex.method.getRun, async (_, context) => {
      client.close();
      await once(context.signal, "abort");
      return {};
    });
    router.rpc(RunIndex.method.runExists, () => {
      throw unavailable(200);
    });
  });
  const waiting = client.runIndex.runExists({ runId: "default" });
  const expected = { code: Code.Canceled };
  await Promise.all([
    assert.rejects(client.runIndex.getRun({ runId: "default" }), expected),
    assert.rejects(waiting, expected),
  ]);
  await assert.rejects(client.runIndex.getRun({ runId: "default" }), expected);
});

test("a server that is not there is unavailable", async () => {
  const server = await startFake(() => undefined);
  await server.stop();
  const client = new RunIndexClient({ address: server.address, retry: QUICK });
  await assert.rejects(client.runIndex.getRun({ runId: "default" }), { code: Code.Unavailable });
});

test("a client outlives the restart of its server", async () => {
  const first = await startServer();
  const { address } = first;
  const client = new RunIndexClient({ address, retry: { attemptsMax: 100, delayMsMax: 200 } });
  await client.runIndex.getRun({ runId: "default" });
  await first.stop("SIGKILL");
  const call = client.runIndex.runExists({ runId: "default" });
  const second = await startServer(Number(address.split(":").at(-1)));
  assert.ok((await call).exists);
  client.close();
  await second.stop();
});

test("to leave the loop over a stream cuts the call off", async (t) => {
  let cutOff: Promise<unknown> | undefined;
  const { client } = await setUp(t, (router) => {
    router.rpc(Maintenance.method.verify, async function* (_, context) {
      cutOff = once(context.signal, "abort");
      yield {};
      await cutOff;
    });
  });
  for await (const piece of client.maintenance.verify({})) if (piece) break;
  assert.ok(cutOff);
  await cutOff;
});

test("a stream that is cut off is unavailable, and not tried again", async (t) => {
  let calls = 0;
  const { client, fake } = await setUp(t, (router) => {
    router.rpc(Maintenance.method.backup, async function* (_, context) {
      calls++;
      yield {};
      fake.cut();
      await once(context.signal, "abort");
    });
  });
  await assert.rejects(async () => {
    for await (const piece of client.maintenance.backup({})) assert.ok(piece);
  }, { name: "RunIndexError", code: Code.Unavailable });
  assert.equal(calls, 1);
});
