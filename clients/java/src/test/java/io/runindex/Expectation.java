package io.runindex;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.HashMap;
import java.util.Map;
import java.util.function.UnaryOperator;

/** What a scenario expects of JSON, and what it keeps of it. */
final class Expectation {
  private final Map<String, JsonElement> kept = new HashMap<>();

  /** Throws, with a line for each place, when what came is not what is expected. */
  static void compare(String path, JsonElement expected, JsonElement came) {
    StringBuilder faults = new StringBuilder();
    compare(path, expected, came, faults);
    if (!faults.isEmpty()) {
      throw new AssertionError(faults.toString().strip());
    }
  }

  private static void compare(
      String path, JsonElement expected, JsonElement came, StringBuilder faults) {
    if (expected instanceof JsonObject members && came instanceof JsonObject object) {
      for (String name : members.keySet()) {
        if (object.has(name)) {
          compare(path + "." + name, members.get(name), object.get(name), faults);
        } else if (!members.get(name).isJsonNull()) {
          tell(path + "." + name, members.get(name), "nothing", faults);
        }
      }
    } else if (expected instanceof JsonArray items
        && came instanceof JsonArray array
        && items.size() == array.size()) {
      for (int index = 0; index < items.size(); index++) {
        compare(path + "." + index, items.get(index), array.get(index), faults);
      }
    } else if (!isSame(expected, came)) {
      tell(path, expected, came, faults);
    }
  }

  private static boolean isSame(JsonElement expected, JsonElement came) {
    if (expected instanceof JsonPrimitive one && came instanceof JsonPrimitive other) {
      // 1 is 1.0.
      return one.isNumber() && other.isNumber()
          ? one.getAsDouble() == other.getAsDouble()
          : one.equals(other);
    }
    return expected.isJsonNull() && came.isJsonNull();
  }

  private static void tell(String path, JsonElement expected, Object came, StringBuilder faults) {
    faults.append("%s: expected %s, got %s%n".formatted(path, expected, came));
  }

  /** Keeps what is at each path. */
  void keep(Map<String, String> paths, JsonElement response) {
    paths.forEach(
        (name, path) -> {
          if (kept.containsKey(name)) {
            throw new AssertionError("keep: %s was kept before".formatted(name));
          }
          JsonElement value = response;
          for (String part : path.split("\\.", -1)) {
            value = member(value, part);
            if (value == null) {
              throw new AssertionError(
                  "keep.%s: there is no %s in %s".formatted(name, path, response));
            }
          }
          kept.put(name, value);
        });
  }

  private static JsonElement member(JsonElement holder, String name) {
    if (holder instanceof JsonArray array && name.matches("\\d{1,9}")) {
      int index = Integer.parseInt(name);
      return index < array.size() ? array.get(index) : null;
    }
    return holder instanceof JsonObject object ? object.get(name) : null;
  }

  /** Returns a part of a scenario with what was kept in the place of its names. */
  JsonElement resolve(String path, JsonElement value) {
    UnaryOperator<JsonElement> deeper = part -> resolve(path, part);
    if (value instanceof JsonObject object) {
      JsonObject resolved = new JsonObject();
      object
          .entrySet()
          .forEach(member -> resolved.add(member.getKey(), deeper.apply(member.getValue())));
      return resolved;
    }
    if (value instanceof JsonArray array) {
      JsonArray resolved = new JsonArray();
      array.forEach(item -> resolved.add(deeper.apply(item)));
      return resolved;
    }
    if (!(value instanceof JsonPrimitive text)
        || !text.isString()
        || !text.getAsString().startsWith("$")) {
      return value;
    }
    String name = text.getAsString().substring(1);
    if (name.startsWith("$")) {
      return new JsonPrimitive(name);
    }
    if (!kept.containsKey(name)) {
      throw new AssertionError("%s: %s was not kept".formatted(path, name));
    }
    return kept.get(name);
  }
}
