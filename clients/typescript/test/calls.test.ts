import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  Code,
  CreateRunRequestSchema,
  RunIndexClient,
  RunIndexError,
  RunState,
  durationMs,
  fromDataValue,
  fromValue,
  timestampDate,
  toDataValue,
  toValue,
} from "@runindex/client";
import { startServer, type Server } from "./support/server.js";

let server: Server;
let client: RunIndexClient;

before(async () => {
  server = await startServer();
  client = new RunIndexClient({ address: server.address });
});

after(async () => {
  client.close();
  await server.stop();
});

async function createRun(): Promise<string> {
  const { run } = await client.runIndex.createRun({});
  assert.ok(run);
  return run.runId;
}

test("a nested run is recorded with its metadata, tags and times", async () => {
  const metadata = { model: "gpt-4o", settings: { temperature: 0.5, stop: null }, seeds: [1, 2] };
  const { run, revision } = await client.runIndex.createRun({ tags: ["nightly"], metadata });
  assert.ok(run?.createTime);
  assert.deepEqual(run.metadata, metadata);
  assert.equal(run.version, 1n);
  assert.equal(run.revision, revision);
  assert.ok(Math.abs(timestampDate(run.createTime).getTime() - Date.now()) < 60_000);
  const child = (await client.runIndex.createChildRun({ parentRunId: run.runId })).run;
  assert.equal(child?.parentRunId, run.runId);
  await client.runIndex.closeRun({ runId: child.runId });
  await client.runIndex.failRun({ runId: run.runId, error: "no space left", expectedVersion: 1n });
  const failed = (await client.runIndex.getRun({ runId: run.runId })).run;
  assert.equal(failed?.state, RunState.FAILED);
  assert.equal(failed.error, "no space left");
  assert.ok(failed.duration && durationMs(failed.duration) > 0);
});

test("a refusal is a RunIndexError with its reason and metadata", async () => {
  const runId = await createRun();
  await client.runIndex.closeRun({ runId });
  const error: unknown = await client.runIndex.pauseRun({ runId }).catch((e: unknown) => e);
  assert.ok(error instanceof RunIndexError);
  assert.equal(error.code, Code.FailedPrecondition);
  assert.equal(error.reason, "INVALID_STATE_TRANSITION");
  assert.equal(error.metadata["runId"], runId);
  assert.equal(error.metadata["allowedStates"], "RUN_STATE_ARCHIVED");
  assert.equal(error.method, "runindex.v1.RunIndex/PauseRun");
  assert.match(error.message, /./);
});

test("a refused argument names its field", async () => {
  await assert.rejects(client.runIndex.getRun({ runId: "7" }), (error: RunIndexError) => {
    assert.equal(error.reason, "INVALID_RUN_ID");
    assert.deepEqual(error.fieldViolations.map(({ field }) => field), ["run_id"]);
    return true;
  });
});

test("a version mismatch is not tried again", async () => {
  const call = client.runIndex.closeRun({ runId: await createRun(), expectedVersion: 7n });
  await assert.rejects(call, { code: Code.Aborted, reason: "VERSION_MISMATCH" });
});

test("the same request id has the same answer", async () => {
  const request = { requestId: "create-1", tags: ["once"] };
  const first = await client.runIndex.createRun(request);
  const second = await client.runIndex.createRun(request);
  assert.equal(second.run?.runId, first.run?.runId);
});

test("the same request without a request id is another call each time", async () => {
  const init = { tags: ["twice"] };
  for (const request of [init, create(CreateRunRequestSchema, init)]) {
    const first = await client.runIndex.createRun(request);
    const second = await client.runIndex.createRun(request);
    assert.notEqual(second.run?.runId, first.run?.runId);
  }
  assert.deepEqual(init, { tags: ["twice"] });
});

test("versions beyond 2^53 keep their digits", async () => {
  const expectedVersion = 2n ** 63n + 1n;
  const call = client.runIndex.closeRun({ runId: await createRun(), expectedVersion });
  await assert.rejects(call, (error: RunIndexError) => {
    assert.equal(error.metadata["expectedVersion"], String(expectedVersion));
    return true;
  });
});

test("a run holds values, events, state cells and documents", async () => {
  const runId = await createRun();
  const json = { answer: [42, "x", null, true] };
  const binary = new Uint8Array([0, 255]);
  await client.runData.putValue({ runId, key: "json", value: toDataValue(json) });
  await client.runData.putValue({ runId, key: "binary", value: toDataValue(binary) });
  const value = async (key: string) =>
    fromDataValue((await client.runData.getValue({ runId, key })).item?.value);
  assert.deepEqual(await value("json"), json);
  assert.deepEqual(await value("binary"), binary);
  await client.runData.appendEvents({ runId, events: [{ stream: "log", value: toDataValue(null) }] });
  const event = await client.events({ runId, stream: "log" }).first();
  assert.equal(event?.sequence, 0n);
  assert.equal(fromDataValue(event.value), null);
  await client.runData.compareAndSetState({ runId, cell: "step", value: toDataValue("a") });
  const again = client.runData.compareAndSetState({ runId, cell: "step", value: toDataValue("b") });
  await assert.rejects(again, { reason: "VALUE_MISMATCH" });
  await client.runData.setDocument({ runId, document: "plan", value: toValue({ steps: [] }) });
  await client.runData.setDocument({ runId, document: "plan", pointer: "/steps/-", value: toValue("go") });
  const document = await client.runData.getDocument({ runId, document: "plan" });
  assert.deepEqual(fromValue(document.item?.value), { steps: ["go"] });
  const { receipt } = await client.runIndex.deleteRun({ runId });
  assert.equal(receipt?.kvKeys, 2n);
});

test("a number that JSON has not is refused", async () => {
  const request = { runId: "default", key: "k", value: toDataValue(NaN) };
  await assert.rejects(client.runData.putValue(request), { reason: "INVALID_FIELD" });
  await assert.rejects(client.runIndex.createRun({ metadata: { a: NaN } }), {
    reason: "INVALID_METADATA",
  });
});

test("a request that is too large is refused, and not tried again", async () => {
  for (const mebibytes of [2, 8]) {
    const value = toDataValue(new Uint8Array(mebibytes * 1024 * 1024));
    const call = client.runData.putValue({ runId: "default", key: "k", value });
    await assert.rejects(call, { code: Code.ResourceExhausted });
  }
});

test("a name without its value holds nothing", async () => {
  await client.runData.putValue({ runId: "default", key: "k", value: toDataValue("v") });
  const item = await client.values({ runId: "default", prefix: "k", namesOnly: true }).first();
  assert.equal(item?.key, "k");
  assert.equal(fromDataValue(item.value), undefined);
});

test("insights and templates answer", async () => {
  await client.runTemplates.putTemplate({ name: "agent", tags: ["templated"], metadata: { a: 1 } });
  const { runId } = await client.runTemplates.createRunFromTemplate({ name: "agent" });
  const clone = await client.runTemplates.cloneRun({ runId });
  const { run } = await client.runIndex.getRun({ runId: clone.runId });
  assert.equal(run?.clonedFrom, runId);
  assert.deepEqual(run.metadata, { a: 1 });
  const stats = await client.runInsights.getRunStats({ tag: "templated" });
  assert.equal(stats.count, 2n);
  const tree = await client.runInsights.getRunTree({ runId });
  assert.equal(tree.run?.run?.runId, runId);
});

test("the store can be looked at, verified, compacted and backed up", async () => {
  const status = await client.maintenance.getStatus({});
  assert.match(status.store?.storeId ?? "", /^[0-9a-f]{32}$/);
  const last = async <T>(pieces: AsyncIterable<T>) => {
    let piece: T | undefined;
    for await (piece of pieces);
    return piece;
  };
  const verified = await last(client.maintenance.verify({}));
  assert.equal(verified?.piece.case, "summary");
  const compacted = await last(client.maintenance.compact({ dryRun: true }));
  assert.equal(compacted?.piece.case, "summary");
  const backup = await last(client.maintenance.backup({}));
  assert.equal(backup?.piece.case, "trailer");
});

test("a refusal ends a stream with a RunIndexError", async () => {
  const pieces = client.maintenance.compact({ dryRun: true, trustClock: true });
  await assert.rejects(pieces[Symbol.asyncIterator]().next(), {
    name: "RunIndexError",
    reason: "INVALID_FIELD",
    method: "runindex.v1.Maintenance/Compact",
  });
});
