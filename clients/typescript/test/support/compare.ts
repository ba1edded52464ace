import assert from "node:assert/strict";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Tells where what came is not what a scenario expects: nothing, or a line for each place. */
export function compare(path: string, expected: JsonValue, came: JsonValue): string[] {
  if (Array.isArray(expected) && Array.isArray(came) && expected.length === came.length) {
    return expected.flatMap((item, i) => compare(`${path}.${i}`, item, came[i] ?? null));
  }
  if (isObject(expected) && isObject(came)) {
    return Object.entries(expected).flatMap(([name, member]) => {
      const found = Object.hasOwn(came, name) ? came[name] : undefined;
      if (found !== undefined) return compare(`${path}.${name}`, member, found);
      return member === null ? [] : [`${path}.${name}: expected ${show(member)}, got nothing`];
    });
  }
  return expected === came ? [] : [`${path}: expected ${show(expected)}, got ${show(came)}`];
}

/** What a scenario keeps of responses, by its names. */
export class Kept {
  readonly #values = new Map<string, JsonValue>();

  /** Keeps what is at each path. */
  keep(paths: Readonly<Record<string, string>>, response: JsonValue): void {
    for (const [name, path] of Object.entries(paths)) {
      assert.ok(!this.#values.has(name), `keep: ${name} was kept before`);
      const value = path.split(".").reduce(memberOf, response);
      assert.ok(value !== undefined, `keep.${name}: there is no ${path} in ${show(response)}`);
      this.#values.set(name, value);
    }
  }

  /** A part of a scenario, with what was kept in the place of its names. */
  resolve(path: string, value: JsonValue): JsonValue {
    if (typeof value === "string") {
      if (!value.startsWith("$")) return value;
      const name = value.slice(1);
      if (name.startsWith("$")) return name;
      const kept = this.#values.get(name);
      assert.ok(kept !== undefined, `${path}: ${name} was not kept`);
      return kept;
    }
    if (Array.isArray(value)) return value.map((item) => this.resolve(path, item));
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, this.resolve(path, member)]),
    );
  }
}

function memberOf(holder: JsonValue | undefined, name: string): JsonValue | undefined {
  if (Array.isArray(holder)) return /^\d+$/.test(name) ? holder[Number(name)] : undefined;
  return isObject(holder) && Object.hasOwn(holder, name) ? holder[name] : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function show(value: JsonValue): string {
  return JSON.stringify(value);
}
