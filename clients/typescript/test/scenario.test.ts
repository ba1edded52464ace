import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { JsonValue } from "@bufbuild/protobuf";
import { RunIndexClient } from "@runindex/client";
import { compare } from "./support/compare.js";
import { parseScenario, readScenarios, runScenario } from "./support/scenario.js";
import { startServer } from "./support/server.js";

test("a folder without scenarios is no suite, and a broken one is told by its name", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "runindex-test-"));
  t.after(() => rm(folder, { recursive: true }));
  await assert.rejects(readScenarios(folder), /holds no scenarios/);
  await writeFile(join(folder, "broken.json"), '{"about": "No steps.", "steps": []}');
  await assert.rejects(readScenarios(folder), /^Error: broken\.json: steps are missing/);
});

test("what is no scenario is refused", () => {
  const call = '"call": "runindex.v1.RunIndex/GetRun"';
  const step = `{${call}, "response": {}}`;
  parseScenario(`{"about": "a", "steps": [${step}]}`);
  for (const text of [
    "",
    "[]",
    `{"steps": [${step}]}`,
    '{"about": "a"}',
    '{"about": "a", "steps": []}',
    `{"about": "a", "title": "a", "steps": [${step}]}`,
    `{"about": "a", "steps": [${step}]} {}`,
  ]) {
    assert.throws(() => parseScenario(text), text);
  }
  for (const members of [
    '"response": {}',
    call,
    `${call}, "response": null`,
    `${call}, "response": []`,
    `${call}, "response": {}, "wait": 1`,
    `${call}, "response": {}, "request": []`,
    `${call}, "response": {}, "stream": "runindex.v1.Maintenance/Verify"`,
    `${call}, "response": {}, "error": {"code": "ABORTED"}`,
    `${call}, "items": []`,
    `${call}, "responses": []`,
    '"each": "runindex.v1.RunIndex/ListRuns", "response": {}',
    '"stream": "runindex.v1.Maintenance/Verify", "items": []',
    '"each": "runindex.v1.RunIndex/ListRuns", "items": [], "keep": {"run": "0.runId"}',
    `${call}, "error": {"code": "ABORTED"}, "keep": {"run": "run.runId"}`,
    `${call}, "response": {}, "keep": {"a run": "run.runId"}`,
    `${call}, "response": {}, "keep": {"run": 1}`,
    `${call}, "error": {}`,
    `${call}, "error": {"code": "OK"}`,
    `${call}, "error": {"code": "Aborted"}`,
    `${call}, "error": {"code": "ABORTED", "message": "no"}`,
    `${call}, "error": {"code": "ABORTED", "metadata": {"currentVersion": 2}}`,
  ]) {
    assert.throws(() => parseScenario(`{"about": "a", "steps": [{${members}}]}`), /^Error: step 1: /, members);
  }
});

test("what came is compared with what is expected", () => {
  for (const [expected, came, ...told] of [
    ["a", "a"],
    ["a", "b", 'r: expected "a", got "b"'],
    [1, 1.0],
    [1, 1.5, "r: expected 1, got 1.5"],
    [1, "1", 'r: expected 1, got "1"'],
    ["1", 1, 'r: expected "1", got 1'],
    [0, false, "r: expected 0, got false"],
    [true, true],
    [true, false, "r: expected true, got false"],
    ["", null, 'r: expected "", got null'],
    [null, null],
    [null, 0, "r: expected null, got 0"],
    [{}, { a: 1 }],
    [{}, null, "r: expected {}, got null"],
    [{}, [], "r: expected {}, got []"],
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: 1 }, { a: 2 }, "r.a: expected 1, got 2"],
    [{ a: 1 }, {}, "r.a: expected 1, got nothing"],
    [{ a: {} }, {}, "r.a: expected {}, got nothing"],
    [{ toString: {} }, {}, "r.toString: expected {}, got nothing"],
    [{ a: null }, {}],
    [{ a: null }, { a: null }],
    [{ a: null }, { a: "" }, 'r.a: expected null, got ""'],
    [{ a: { b: [0, { c: 1 }] } }, { a: { b: [0, { c: 2 }] } }, "r.a.b.1.c: expected 1, got 2"],
    [{ a: 1, b: 2 }, { a: 0, b: 0 }, "r.a: expected 1, got 0", "r.b: expected 2, got 0"],
    [[], []],
    [[], [1], "r: expected [], got [1]"],
    [[1, 2], [1], "r: expected [1,2], got [1]"],
    [[1, 2], [2, 1], "r.0: expected 1, got 2", "r.1: expected 2, got 1"],
    [[null], [null]],
    [[null], [0], "r.0: expected null, got 0"],
    [[], {}, "r: expected [], got {}"],
  ] as [JsonValue, JsonValue, ...string[]][]) {
    assert.deepEqual(compare("r", expected, came), told);
  }
});

const CREATE = '"call": "runindex.v1.RunIndex/CreateRun", "response": {}';
const DOLLAR = '"call": "runindex.v1.RunIndex/CreateRun", "request": {"tags": ["$$a"]}';
const GET = '"call": "runindex.v1.RunIndex/GetRun", "request": {"runId": "default"}';
const MISSING =
  '"call": "runindex.v1.RunIndex/GetRun", "request": {"runId": "00000000-0000-4000-8000-000000000000"}';
const LIST = '"each": "runindex.v1.RunIndex/ListRuns", "request": {"view": "RUN_VIEW_ID_ONLY"}';
const REFUSED = '"each": "runindex.v1.RunIndex/ListRuns", "request": {"pageSize": -1}';
const STREAM = '"stream": "runindex.v1.Maintenance/Verify"';
const BROKEN = '"stream": "runindex.v1.Maintenance/Compact", "request": {"dryRun": true, "trustClock": true}';

test("what holds ends without an error", async (t) => {
  const client = await connect(t);
  for (const steps of [
    `{${GET}, "response": {"run": {"runId": "default", "endTime": null}}}`,
    `{${MISSING}, "error": {"code": "NOT_FOUND", "reason": "RUN_NOT_FOUND", "metadata": {}}}`,
    `{${LIST}, "items": [{"runId": "default"}]}`,
    `{${REFUSED}, "error": {"code": "INVALID_ARGUMENT", "reason": "INVALID_PAGE_SIZE"}}`,
    `{${STREAM}, "responses": [{"summary": null}, {"summary": {"drifts": "0"}}]}`,
    `{${BROKEN}, "error": {"code": "INVALID_ARGUMENT", "reason": "INVALID_FIELD"}}`,
    `{${DOLLAR}, "response": {"run": {"tags": ["$$a"]}}}`,
    `{${GET}, "response": {}, "keep": {"run": "run.runId"}}, {${GET}, "response": {"run": {"runId": "$run"}}}`,
  ]) {
    await runScenario(parseScenario(`{"about": "a", "steps": [${steps}]}`), client);
  }
});

test("what does not hold is told by its step, place and values", async (t) => {
  const client = await connect(t);
  const get = "step 1, runindex.v1.RunIndex/GetRun: ";
  const list = "step 1, runindex.v1.RunIndex/ListRuns: ";
  const create = "step 1, runindex.v1.RunIndex/CreateRun: ";
  for (const [steps, told] of [
    [`{${GET}, "response": {"run": {"version": "7"}}}`, `${get}response.run.version: expected "7", got "1"`],
    [`{${GET}, "error": {"code": "NOT_FOUND"}}`, `${get}error: expected {"code":"NOT_FOUND"}, got {`],
    [`{${MISSING}, "response": {}}`, `${get}expected no error, got {"code":"NOT_FOUND","reason":"RUN_NOT_FOUND",`],
    [`{${MISSING}, "error": {"code": "ABORTED"}}`, `${get}error.code: expected "ABORTED", got "NOT_FOUND"`],
    [
      `{${MISSING}, "error": {"code": "NOT_FOUND", "reason": ""}}`,
      `${get}error.reason: expected "", got "RUN_NOT_FOUND"`,
    ],
    [
      `{${MISSING}, "error": {"code": "NOT_FOUND", "metadata": {"runId": "default"}}}`,
      `${get}error.metadata.runId: expected "default", got "00000000-`,
    ],
    [
      `{${MISSING}, "error": {"code": "NOT_FOUND", "metadata": {"run": ""}}}`,
      `${get}error.metadata.run: expected "", got nothing`,
    ],
    [`{${LIST}, "items": []}`, `${list}items: expected [], got [{`],
    [`{${LIST}, "error": {"code": "ABORTED"}}`, `${list}error: expected {"code":"ABORTED"}, got [{`],
    [`{${REFUSED}, "items": []}`, `${list}expected no error, got {"code":"INVALID_ARGUMENT",`],
    [
      `{${STREAM}, "responses": []}`,
      "step 1, runindex.v1.Maintenance/Verify: responses: expected [], got [{",
    ],
    [
      `{${BROKEN}, "responses": []}`,
      'step 1, runindex.v1.Maintenance/Compact: expected no error, got {"code":"INVALID_ARGUMENT",',
    ],
    [
      '{"call": "runindex.v1.Maintenance/Verify", "response": {}}',
      "step 1, runindex.v1.Maintenance/Verify: the method is of another kind",
    ],
    [
      '{"stream": "runindex.v1.RunIndex/GetRun", "request": {"runId": "default"}, "responses": []}',
      `${get}the method is of another kind`,
    ],
    ['{"each": "runindex.v1.RunIndex/GetRun", "items": []}', `${get}the client has no such iteration`],
    [
      '{"call": "runindex.v1.RunIndex/Run", "response": {}}',
      "step 1, runindex.v1.RunIndex/Run: the client has no such method",
    ],
    [
      '{"call": "runindex.v2.RunIndex/GetRun", "response": {}}',
      "step 1, runindex.v2.RunIndex/GetRun: the client has no such method",
    ],
    [
      '{"call": "runindex.v1.RunIndex/GetRun", "request": {"run": "default"}, "response": {}}',
      `${get}request: `,
    ],
    [
      '{"call": "runindex.v1.RunIndex/GetRun", "request": {"runId": "$run"}, "response": {}}',
      `${get}request: run was not kept`,
    ],
    [`{${GET}, "response": {"run": {"tags": ["$run"]}}}`, `${get}response: run was not kept`],
    [
      `{${MISSING}, "error": {"code": "NOT_FOUND", "metadata": {"runId": "$run"}}}`,
      `${get}error: run was not kept`,
    ],
    [
      `{${DOLLAR}, "response": {"run": {"tags": ["$$$a"]}}}`,
      `${create}response.run.tags.0: expected "$$a", got "$a"`,
    ],
    [
      `{${CREATE}, "keep": {"run": "run.runId"}}, {${GET}, "response": {"run": {"runId": "$run"}}}`,
      'step 2, runindex.v1.RunIndex/GetRun: response.run.runId: expected "',
    ],
    [`{${CREATE}, "keep": {"end": "run.endTime"}}`, `${create}keep.end: there is no run.endTime in {`],
    [`{${CREATE}, "keep": {"tag": "run.tags.0"}}`, `${create}keep.tag: there is no run.tags.0 in {`],
    [
      `{${CREATE}, "keep": {"run": "run"}}, {${CREATE}, "keep": {"run": "run"}}`,
      "step 2, runindex.v1.RunIndex/CreateRun: keep: run was kept before",
    ],
  ] as const) {
    const scenario = parseScenario(`{"about": "a", "steps": [${steps}]}`);
    await assert.rejects(runScenario(scenario, client), (error: Error) => {
      assert.ok(error.message.startsWith(told), `Of ${steps} is told: ${error.message}`);
      return true;
    });
  }
});

async function connect(t: { after(action: () => Promise<void>): void }): Promise<RunIndexClient> {
  const server = await startServer();
  const client = new RunIndexClient({ address: server.address });
  t.after(async () => {
    client.close();
    await server.stop();
  });
  return client;
}
