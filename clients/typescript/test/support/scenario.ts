import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  type JsonObject,
  type JsonValue,
  type Message,
  fromJson,
  toJson,
} from "@bufbuild/protobuf";
import * as contract from "@runindex/client";
import { Code, type Interceptor, RunIndexClient, RunIndexError } from "@runindex/client";
import { Kept, compare, isObject, show } from "./compare.js";

/** A file of the suite that all clients share; ../conformance/README.md tells its format. */
export interface Scenario {
  readonly about: string;
  readonly steps: readonly Step[];
}

interface Step {
  readonly kind: "call" | "each" | "stream";
  /** `package.Service/Method`. */
  readonly method: string;
  readonly request: JsonObject;
  /** What the call comes to, or else `error`. */
  readonly expected: JsonValue | undefined;
  readonly error: JsonObject | undefined;
  readonly keep: Readonly<Record<string, string>>;
}

/** The name of what each kind of call comes to. */
const EXPECTATIONS = { call: "response", each: "items", stream: "responses" } as const;

/** Reads the scenarios of a folder, by the names of their files. */
export async function readScenarios(folder: string): Promise<Map<string, Scenario>> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".json")).sort();
  assert.ok(files.length > 0, `${folder} holds no scenarios`);
  const scenarios = new Map<string, Scenario>();
  for (const file of files) {
    const text = await readFile(join(folder, file), "utf8");
    scenarios.set(file, prefixed(file, () => parseScenario(text)));
  }
  return scenarios;
}

export function parseScenario(text: string): Scenario {
  const { about, steps, ...others } = objectOf("the scenario", JSON.parse(text));
  refuse(others);
  assert.ok(typeof about === "string" && about !== "", "about is missing");
  assert.ok(Array.isArray(steps) && steps.length > 0, "steps are missing");
  return { about, steps: steps.map((step, i) => prefixed(`step ${i + 1}`, () => parseStep(step))) };
}

function parseStep(json: JsonValue): Step {
  const { call, each, stream, request = {}, response, items, responses, error, keep, ...others } =
    objectOf("a step", json);
  refuse(others);
  const kinds = Object.entries({ call, each, stream }).filter(([, method]) => method !== undefined);
  const [kind, method] = kinds[0] ?? [];
  assert.equal(kinds.length, 1, "it has exactly one of call, each and stream");
  assert.ok(typeof method === "string");
  const expectations = Object.entries({ response, items, responses, error }).filter(
    ([, expectation]) => expectation !== undefined,
  );
  const [name, expected] = expectations[0] ?? [];
  assert.equal(expectations.length, 1, "it has exactly one expectation");
  if (name === "error") checkError(objectOf("error", expected));
  else assert.equal(name, EXPECTATIONS[kind as Step["kind"]]);
  assert.ok(name === "response" ? isObject(expected) : name === "error" || Array.isArray(expected), name);
  assert.ok(keep === undefined || name === "response", "only from a response can be kept");
  for (const [keptAs, path] of Object.entries(objectOf("keep", keep ?? {}))) {
    assert.match(keptAs, /^\w+$/);
    assert.equal(typeof path, "string");
  }
  return {
    kind: kind as Step["kind"],
    method,
    request: objectOf("request", request),
    expected: name === "error" ? undefined : expected,
    error: name === "error" ? (expected as JsonObject) : undefined,
    keep: (keep ?? {}) as Record<string, string>,
  };
}

function checkError({ code, reason, metadata = {}, ...others }: JsonObject): void {
  refuse(others);
  assert.ok(typeof code === "string" && CODES.includes(code), `${show(code ?? null)} is no status code`);
  assert.ok(reason === undefined || typeof reason === "string", "reason is no string");
  const texts = Object.values(objectOf("metadata", metadata));
  assert.ok(texts.every((text) => typeof text === "string"), "metadata holds more than strings");
}

function refuse(others: JsonObject): void {
  const names = Object.keys(others).join(", ");
  assert.equal(names, "", `unknown members: ${names}`);
}

function objectOf(name: string, value: unknown): JsonObject {
  assert.ok(isObject(value), `${name} is no object`);
  return value;
}

/** Makes the steps in order, and throws for the first that does not hold. */
export async function runScenario(scenario: Scenario, client: RunIndexClient): Promise<void> {
  const kept = new Kept();
  for (const [i, step] of scenario.steps.entries()) {
    await prefixed(`step ${i + 1}, ${step.method}`, () => runStep(step, client, kept));
  }
}

async function runStep(step: Step, client: RunIndexClient, kept: Kept): Promise<void> {
  const request = kept.resolve("request", step.request);
  const { came, error } = await send(step, request, client);
  if (step.expected === undefined) {
    const expected = kept.resolve("error", step.error ?? null);
    assert.ok(error, `error: expected ${show(expected)}, got ${show(came)}`);
    holds(compare("error", expected, describe(error)));
    return;
  }
  const name = EXPECTATIONS[step.kind];
  const expected = kept.resolve(name, step.expected);
  if (error) throw new Error(`expected no error, got ${show(describe(error))}: ${error.message}`);
  holds(compare(name, expected, came));
  kept.keep(step.keep, came);
}

function holds(faults: string[]): void {
  if (faults.length > 0) throw new Error(faults.join("\n"));
}

/** Makes a call through the client's own methods. What came is told also where it ended with an error. */
async function send(
  { kind, method: name }: Step,
  requestJson: JsonValue,
  client: RunIndexClient,
): Promise<{ came: JsonValue; error?: RunIndexError }> {
  const { service, method } = methodOf(name);
  // As a caller writes it: not a message, but what one is made of.
  const { $typeName: _, ...request } = prefixed("request", () => fromJson(method.input, requestJson));
  const stub = memberOf(client, service.name.charAt(0).toLowerCase() + service.name.slice(1));
  const all: JsonValue[] = [];
  try {
    if (kind === "call") {
      assert.equal(method.methodKind, "unary", "the method is of another kind");
      const response = await (memberOf(stub, method.localName) as Call<Promise<Message>>).call(stub, request);
      return { came: json(method.output, response) };
    }
    let items: AsyncIterable<Message>;
    let item: DescMessage = method.output;
    if (kind === "stream") {
      assert.equal(method.methodKind, "server_streaming", "the method is of another kind");
      items = (memberOf(stub, method.localName) as Call<AsyncIterable<Message>>).call(stub, request);
    } else {
      const iteration = (await ITERATIONS).get(name);
      assert.ok(iteration !== undefined, "the client has no such iteration");
      items = (memberOf(client, iteration) as Call<AsyncIterable<Message>>).call(client, request);
      item = itemOf(method.output);
    }
    for await (const message of items) all.push(json(item, message));
    return { came: all };
  } catch (error) {
    if (!(error instanceof RunIndexError)) throw error;
    return { came: all, error };
  }
}

type Call<Result> = (request: object) => Result;

function memberOf(holder: object, name: string): object {
  return (holder as Record<string, object>)[name] ?? assert.fail(`there is no ${name}`);
}

const SERVICES = Object.values<unknown>(contract).filter(
  (member): member is DescService => isObject(member) && (member as { kind?: unknown }).kind === "service",
);

function methodOf(name: string): { service: DescService; method: DescMethod } {
  for (const service of SERVICES) {
    const method = service.methods.find((found) => `${service.typeName}/${found.name}` === name);
    if (method) return { service, method };
  }
  return assert.fail("the client has no such method");
}

/** The items of a page are the one repeated field of the response. */
function itemOf(response: DescMessage): DescMessage {
  const items = response.fields.flatMap((field) => (field.fieldKind === "list" && field.message) || []);
  assert.equal(items.length, 1);
  return items[0] as DescMessage;
}

/** The names of the client's iterations, by the methods that they call; found by beginning each. */
const ITERATIONS = (async () => {
  const iterations = new Map<string, string>();
  for (const name of Object.getOwnPropertyNames(RunIndexClient.prototype)) {
    if (name === "constructor" || name === "close") continue;
    const note: Interceptor = () => ({ method }) => {
      iterations.set(`${method.parent.typeName}/${method.name}`, name);
      return Promise.reject(new Error("noted"));
    };
    const client = new RunIndexClient({ interceptors: [note] });
    const begin = memberOf(client, name) as Call<{ first(): Promise<unknown> }>;
    await begin.call(client, {}).first().catch(() => undefined);
    client.close();
  }
  return iterations;
})();

function json(schema: DescMessage, message: Message): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

function describe({ code, reason = "", metadata }: RunIndexError): JsonObject {
  return { code: nameOf(code), reason, metadata: { ...metadata } };
}

/** The status codes by gRPC's names for them: FAILED_PRECONDITION. */
const CODES = Object.values(Code).flatMap((code) => (typeof code === "number" ? nameOf(code) : []));

function nameOf(code: Code): string {
  if (code === Code.Canceled) return "CANCELLED";
  return Code[code].replaceAll(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}

/** Says before the message of an error what it is about. */
function prefixed<Result>(prefix: string, action: () => Result): Result {
  const fail = (error: unknown) => {
    throw new Error(`${prefix}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  };
  try {
    const result = action();
    return result instanceof Promise ? (result.catch(fail) as Result) : result;
  } catch (error) {
    return fail(error);
  }
}
