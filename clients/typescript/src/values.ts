import { fromJson, toJson, type JsonValue } from "@bufbuild/protobuf";
import { ValueSchema, type Value } from "@bufbuild/protobuf/wkt";
import type { DataValue } from "./gen/runindex/v1/run_data_pb.js";

/** What a key, an event or a state cell holds: JSON or bytes. */
export type Data = JsonValue | Uint8Array;

/** A DataValue as requests take it. */
export interface DataValueInit {
  kind: { case: "json"; value: Value } | { case: "binary"; value: Uint8Array };
}

/** Makes a DataValue: of bytes from a Uint8Array, else of JSON. */
export function toDataValue(data: Data): DataValueInit {
  if (data instanceof Uint8Array) return { kind: { case: "binary", value: data } };
  return { kind: { case: "json", value: toValue(data) } };
}

/** What a DataValue holds; undefined when there is none: a deletion, or a name without its value. */
export function fromDataValue(value: DataValue | undefined): Data | undefined {
  return value?.kind.case === "json" ? fromValue(value.kind.value) : value?.kind.value;
}

/** Makes the value of a document. */
export function toValue(json: JsonValue): Value {
  return fromJson(ValueSchema, json);
}

/** What a value of a document holds; undefined when there is none. */
export function fromValue(value: Value): JsonValue;
export function fromValue(value: Value | undefined): JsonValue | undefined;
export function fromValue(value: Value | undefined): JsonValue | undefined {
  return value && toJson(ValueSchema, value);
}
