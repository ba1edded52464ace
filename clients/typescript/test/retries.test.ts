import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMethod } from "@bufbuild/protobuf";
import { ConnectError, type UnaryRequest } from "@connectrpc/connect";
import { RunIndex, type RetryOptions, retries } from "@runindex/client";
import { unavailable } from "./support/fake.js";

interface Call {
  /** What chance says, from 0 to below 1. */
  random: number;
  timeoutMs?: number;
  method?: DescMethod;
  options?: RetryOptions;
}

/** Makes a call that ends with the same error however often it is made, by a clock of its own. */
async function attemptsOf(error: ConnectError, { random, timeoutMs, method, options }: Call) {
  let nowMs = 1_000;
  const startsMs: number[] = [];
  const timeouts: (string | null)[] = [];
  const call = retries(options, {
    now: () => nowMs,
    random: () => random,
    sleep: (delayMs) => Promise.resolve(void (nowMs += delayMs)),
  })((request) => {
    startsMs.push(Math.round(nowMs - 1_000));
    timeouts.push(request.header.get("grpc-timeout"));
    return Promise.reject(error);
  });
  const request: unknown = {
    stream: false,
    method: method ?? RunIndex.method.getRun,
    message: {},
    header: new Headers(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
  };
  await assert.rejects(call(request as UnaryRequest), error);
  assert.equal(Math.round(nowMs - 1_000), startsMs.at(-1), "It waits after the last.");
  return { startsMs, timeouts };
}

test("a call is made five times, after delays that double and are drawn from their upper half", async () => {
  for (const [random, expected] of [
    [0, [0, 50, 150, 350, 750]],
    [0.5, [0, 75, 225, 525, 1_125]],
    [1 - Number.EPSILON, [0, 100, 300, 700, 1_500]],
  ] as const) {
    assert.deepEqual((await attemptsOf(unavailable(), { random })).startsMs, expected);
  }
});

test("delays grow to two seconds", async () => {
  const { startsMs } = await attemptsOf(unavailable(), { random: 0, options: { attemptsMax: 8 } });
  assert.deepEqual(startsMs, [0, 50, 150, 350, 750, 1_550, 2_550, 3_550]);
});

test("the server's delay is a lower bound, and no more", async () => {
  const longer = await attemptsOf(unavailable(600), { random: 0.5 });
  assert.deepEqual(longer.startsMs, [0, 600, 1_200, 1_800, 2_400]);
  const between = await attemptsOf(unavailable(150), { random: 0 });
  assert.deepEqual(between.startsMs, [0, 150, 300, 500, 900]);
});

test("all attempts are within the call's time, and the server knows what is left of it", async () => {
  const { startsMs, timeouts } = await attemptsOf(unavailable(), { random: 0.5, timeoutMs: 600 });
  assert.deepEqual(startsMs, [0, 75, 225, 525]);
  assert.deepEqual(timeouts, ["600m", "525m", "375m", "75m"]);
  // There is no delay of which the deadline would be the end.
  const once = await attemptsOf(unavailable(600), { random: 0, timeoutMs: 600 });
  assert.deepEqual(once.startsMs, [0]);
});

test("a mutation without a request id is not made again", async () => {
  const method = RunIndex.method.createRun;
  assert.deepEqual((await attemptsOf(unavailable(), { random: 0, method })).startsMs, [0]);
});
