package io.runindex;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import io.grpc.Status;
import io.runindex.ClientMethod.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A file of the suite that all clients share; {@code clients/conformance/README.md} tells its
 * format.
 */
record Scenario(String about, List<Step> steps) {
  /** The kinds of calls, with the name of what each comes to. */
  private enum Kind {
    CALL("response"),
    EACH("items"),
    STREAM("responses");

    final String expectation;

    Kind(String expectation) {
      this.expectation = expectation;
    }

    String member() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /**
   * A call, and what it is expected to come to.
   *
   * @param method {@code package.Service/Method}
   * @param expectation the name of what is expected: that of the kind, or {@code error}
   */
  record Step(
      Kind kind,
      String method,
      JsonObject request,
      String expectation,
      JsonElement expected,
      Map<String, String> keep) {}

  /** Returns the scenarios of a folder by the names of their files. */
  static SortedMap<String, Scenario> readAll(Path folder) throws IOException {
    SortedMap<String, Scenario> scenarios = new TreeMap<>();
    try (Stream<Path> files = Files.list(folder)) {
      for (Path path : files.filter(path -> path.toString().endsWith(".json")).toList()) {
        String text = Files.readString(path);
        String name = path.getFileName().toString();
        scenarios.put(name, prefixed(name, () -> parse(text)));
      }
    }
    check(!scenarios.isEmpty(), folder + " holds no scenarios");
    return scenarios;
  }

  static Scenario parse(String text) {
    JsonObject members = object("the scenario", json(text));
    checkNames(members, Set.of("about", "steps"));
    check(isText(members.get("about")), "about is missing");
    check(members.get("steps") instanceof JsonArray all && !all.isEmpty(), "steps are missing");
    List<Step> steps = new ArrayList<>();
    for (JsonElement step : members.getAsJsonArray("steps")) {
      steps.add(prefixed("step " + (steps.size() + 1), () -> step(object("a step", step))));
    }
    return new Scenario(members.get("about").getAsString(), steps);
  }

  private static Step step(JsonObject members) {
    checkNames(
        members,
        Set.of(
            "call",
            "each",
            "stream",
            "request",
            "response",
            "items",
            "responses",
            "error",
            "keep"));
    List<Kind> kinds = Stream.of(Kind.values()).filter(kind -> members.has(kind.member())).toList();
    check(kinds.size() == 1, "it has %d of call, each and stream".formatted(kinds.size()));
    Kind kind = kinds.get(0);
    check(isText(members.get(kind.member())), "the method is missing");

    List<String> expectations =
        Stream.of("response", "items", "responses", "error").filter(members::has).toList();
    check(expectations.size() == 1, "it has %d expectations".formatted(expectations.size()));
    String expectation = expectations.get(0);
    JsonElement expected = members.get(expectation);
    if (expectation.equals("error")) {
      checkError(object("error", expected));
    } else {
      check(expectation.equals(kind.expectation), "its expectation is of another kind of call");
      check(kind == Kind.CALL ? expected.isJsonObject() : expected.isJsonArray(), expectation);
    }
    check(
        !members.has("keep") || expectation.equals("response"), "only from a response can be kept");

    JsonElement none = new JsonObject();
    JsonElement request = members.has("request") ? members.get("request") : none;
    Map<String, String> keep = texts("keep", members.has("keep") ? members.get("keep") : none);
    keep.keySet().forEach(name -> check(name.matches("\\w+"), "nothing can be kept as " + name));
    return new Step(
        kind,
        members.get(kind.member()).getAsString(),
        object("request", request),
        expectation,
        expected,
        keep);
  }

  private static void checkError(JsonObject error) {
    checkNames(error, Set.of("code", "reason", "metadata"));
    check(isText(error.get("code")), "code is missing");
    Status.Code code = Status.Code.valueOf(error.get("code").getAsString());
    check(code != Status.Code.OK, "OK is no error");
    check(
        !error.has("reason")
            || error.get("reason") instanceof JsonPrimitive reason && reason.isString(),
        "reason is no string");
    texts("metadata", error.has("metadata") ? error.get("metadata") : new JsonObject());
  }

  /** Makes the steps in order, and throws for the first that does not hold. */
  void run(RunIndexClient client) {
    Expectation kept = new Expectation();
    for (int index = 0; index < steps.size(); index++) {
      Step step = steps.get(index);
      prefixed("step %d, %s".formatted(index + 1, step.method), () -> run(step, client, kept));
    }
  }

  private static Void run(Step step, RunIndexClient client, Expectation kept) {
    JsonElement request = kept.resolve("request", step.request);
    ClientMethod method = ClientMethod.of(step.method);
    Outcome outcome =
        switch (step.kind) {
          case CALL -> method.call(client, request);
          case EACH -> method.each(client, request);
          case STREAM -> method.stream(client, request);
        };
    JsonElement expected = kept.resolve(step.expectation, step.expected);
    RunIndexException refusal = outcome.refusal();
    if (step.expectation.equals("error")) {
      check(refusal != null, "error: expected %s, got %s".formatted(expected, outcome.came()));
      Expectation.compare("error", expected, json(refusal));
    } else {
      check(
          refusal == null,
          () -> "expected no error, got %s: %s".formatted(json(refusal), refusal.getMessage()));
      Expectation.compare(step.expectation, expected, outcome.came());
      kept.keep(step.keep, outcome.came());
    }
    return null;
  }

  private static JsonElement json(String text) {
    try {
      return JsonParser.parseString(text);
    } catch (JsonParseException fault) {
      throw new AssertionError(fault.getMessage(), fault);
    }
  }

  private static JsonObject json(RunIndexException refusal) {
    JsonObject metadata = new JsonObject();
    refusal.metadata().forEach(metadata::addProperty);
    JsonObject error = new JsonObject();
    error.addProperty("code", refusal.code().name());
    error.addProperty("reason", refusal.reason());
    error.add("metadata", metadata);
    return error;
  }

  private static void checkNames(JsonObject members, Set<String> known) {
    members.keySet().forEach(name -> check(known.contains(name), "it has an unknown " + name));
  }

  private static Map<String, String> texts(String name, JsonElement members) {
    Map<String, String> texts = new LinkedHashMap<>();
    for (var member : object(name, members).entrySet()) {
      check(
          member.getValue() instanceof JsonPrimitive text && text.isString(),
          "%s.%s is no string".formatted(name, member.getKey()));
      texts.put(member.getKey(), member.getValue().getAsString());
    }
    return texts;
  }

  private static JsonObject object(String name, JsonElement value) {
    check(value.isJsonObject(), name + " is no object");
    return value.getAsJsonObject();
  }

  private static boolean isText(JsonElement value) {
    return value instanceof JsonPrimitive text && text.isString() && !text.getAsString().isEmpty();
  }

  private static void check(boolean holds, String fault) {
    check(holds, () -> fault);
  }

  private static void check(boolean holds, Supplier<String> fault) {
    if (!holds) {
      throw new AssertionError(fault.get());
    }
  }

  /** Says before what went wrong where it did. */
  static <T> T prefixed(String place, Supplier<T> action) {
    try {
      return action.get();
    } catch (AssertionError | RuntimeException fault) {
      throw new AssertionError(place + ": " + fault.getMessage(), fault);
    }
  }
}
