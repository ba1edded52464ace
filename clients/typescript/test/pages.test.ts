import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  type Interceptor,
  Maintenance,
  RunData,
  RunIndex,
  RunIndexClient,
  RunInsights,
  RunState,
  RunTemplates,
  RunView,
  durationFromMs,
  toDataValue,
  toValue,
} from "@runindex/client";
import { startServer, type Server } from "./support/server.js";

const RUNS = 7;

let server: Server;
let client: RunIndexClient;
let parentRunId: string;
let runIds: string[];
let calls: string[];

const recorder: Interceptor = (next) => (request) => {
  calls.push(request.method.name);
  return next(request);
};

before(async () => {
  server = await startServer();
  calls = [];
  client = new RunIndexClient({ address: server.address, interceptors: [recorder] });
  parentRunId = (await client.runIndex.createRun({ tags: ["parent"] })).run?.runId ?? "";
  runIds = [];
  for (let i = 0; i < RUNS; i++) {
    const { run } = await client.runIndex.createChildRun({ parentRunId, tags: ["page", `tag-${i}`] });
    runIds.unshift(run?.runId ?? "");
    await client.runIndex.failRun({ runId: runIds[0] ?? "", error: `${"abcdefg"[i]} failed` });
    const name = `name-${i}`;
    const value = toDataValue(i);
    await client.runData.putValue({ runId: "default", key: name, value });
    await client.runData.putValue({ runId: "default", key: "history", value });
    await client.runData.appendEvents({ runId: "default", events: [{ stream: "log", value }] });
    await client.runData.setState({ runId: "default", cell: name, value });
    await client.runData.setDocument({ runId: "default", document: name, value: toValue({ i }) });
    await client.runTemplates.putTemplate({ name });
  }
});

after(async () => {
  client.close();
  await server.stop();
});

test("every collection method is iterated to its end", async () => {
  calls = [];
  const size = { pageSize: 2 };
  const runId = "default";
  const failed = await client.runs({ ...size, states: [RunState.FAILED] }).toArray();
  assert.deepEqual(failed.map((run) => run.runId), runIds);
  const collections = [
    client.runsByState({ ...size, state: RunState.FAILED }),
    client.runsByTag({ ...size, tag: "page" }),
    client.searchRuns({ ...size, query: "state:failed" }),
    client.childRuns({ ...size, runId: parentRunId }),
    client.values({ ...size, runId, prefix: "name-" }),
    client.valueHistory({ ...size, runId, key: "history" }),
    client.events({ ...size, runId }),
    client.states({ ...size, runId }),
    client.documents({ ...size, runId }),
    client.tags({ ...size, prefix: "tag-" }),
    client.errors(size),
    client.templates(size),
  ];
  for (const collection of collections) {
    const before = calls.length;
    let items = 0;
    for await (const item of collection) items += item === undefined ? 0 : 1;
    assert.equal(items, RUNS, calls.at(-1));
    assert.equal(calls.length - before, Math.ceil(RUNS / 2), calls.at(-1));
  }
  const history = await client.runHistory({ runId: runIds[0] ?? "", pageSize: 1 }).toArray();
  assert.deepEqual(history.map((transition) => transition.toState), [RunState.ACTIVE, RunState.FAILED]);
  assert.deepEqual(await client.staleRuns({ idleFor: durationFromMs(3_600_000) }).toArray(), []);
  const paged = [RunIndex, RunData, RunInsights, RunTemplates, Maintenance]
    .flatMap((service) => service.methods)
    .filter((method) => method.input.fields.some((field) => field.name === "page_token"));
  assert.deepEqual([...new Set(calls)].sort(), paged.map((method) => method.name).sort());
});

test("runs are skipped once, not on every page", async () => {
  const query = { states: [RunState.FAILED], pageSize: 2, skip: 3 };
  const runs = await client.runs(query).toArray();
  assert.deepEqual(runs.map((run) => run.runId), runIds.slice(3));
});

test("nothing is asked for before the first item", async () => {
  calls = [];
  const runs = client.runs();
  assert.deepEqual(calls, []);
  await runs.first();
  assert.deepEqual(calls, ["ListRuns"]);
});

test("a limit is over all pages, and asks for no more than it needs", async () => {
  calls = [];
  const query = { states: [RunState.FAILED], pageSize: 2, view: RunView.ID_ONLY };
  const runs = client.runs(query, { limit: 3 });
  assert.deepEqual((await runs.toArray()).map((run) => run.runId), runIds.slice(0, 3));
  assert.equal(calls.length, 2);
  const sizes = [];
  for await (const page of runs.pages()) sizes.push(page.runs.length);
  assert.deepEqual(sizes, [2, 1]);
  calls = [];
  assert.deepEqual(await client.runs({}, { limit: 0 }).toArray(), []);
  assert.deepEqual(calls, []);
  assert.equal((await client.searchRuns({ query: "state:failed" }, { limit: 1_000 }).toArray()).length, RUNS);
});

test("an iteration that is left asks for no further page, and can be begun again", async () => {
  calls = [];
  const runs = client.runs({ pageSize: 1 });
  for await (const run of runs) if (run.runId === runIds[0]) break;
  assert.equal(calls.length, 1);
  assert.equal((await runs.first())?.runId, runIds[0]);
});

test("an iteration goes on from a page token", async () => {
  const query = { state: RunState.FAILED, pageSize: 2 };
  const page = await client.runIndex.queryRunsByState(query);
  const rest = await client.runsByState({ ...query, pageToken: page.nextPageToken }).toArray();
  assert.deepEqual(rest.map((run) => run.runId), runIds.slice(2));
});

test("a skip beside a token is the server's to refuse", async () => {
  const { nextPageToken: pageToken } = await client.runIndex.listRuns({ pageSize: 1 });
  await assert.rejects(client.runs({ pageSize: 1, pageToken, skip: 1 }).first(), {
    reason: "INVALID_FIELD",
    metadata: { field: "skip" },
  });
});

test("a refused page size is the server's to refuse", async () => {
  await assert.rejects(client.runs({ pageSize: -1 }).first(), { reason: "INVALID_PAGE_SIZE" });
});

test("an aborted iteration ends with an error", async () => {
  const abort = new AbortController();
  const runs = client.runs({ pageSize: 1 }, { signal: abort.signal });
  await assert.rejects(async () => {
    for await (const run of runs) abort.abort(run.runId);
  }, { name: "RunIndexError" });
});
