package io.runindex;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Holds the client to what those of all languages are held to. */
@Execution(ExecutionMode.CONCURRENT)
class ConformanceTest {
  static Stream<Arguments> scenarios() throws IOException {
    return Scenario.readAll(Path.of("../conformance/scenarios")).entrySet().stream()
        .map(entry -> Arguments.of(entry.getKey(), entry.getValue()));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("scenarios")
  void holds(String file, Scenario scenario, @TempDir Path folder) {
    try (Server server = Server.start(folder);
        RunIndexClient client =
            new RunIndexClient.Builder(Map.of()).address(server.address()).build()) {
      Scenario.prefixed(
          file,
          () -> {
            scenario.run(client);
            return null;
          });
    }
  }
}
