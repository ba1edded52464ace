package io.runindex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExampleTest {
  @Test
  void theExampleRecordsANestedRun(@TempDir Path folder) throws Exception {
    Path output = folder.resolve("output");
    try (Server server = Server.start(folder)) {
      ProcessBuilder builder =
          new ProcessBuilder(
              Path.of(System.getProperty("java.home"), "bin", "java").toString(),
              "-classpath",
              System.getProperty("java.class.path"),
              "examples/NestedRun.java");
      builder.environment().put("RUNINDEX_ADDRESS", server.address());
      builder.redirectErrorStream(true).redirectOutput(output.toFile());
      Process example = builder.start();
      if (!example.waitFor(60, TimeUnit.SECONDS)) {
        example.destroyForcibly();
      }
      List<String> lines = Files.readAllLines(output);

      assertEquals(0, example.waitFor(), lines.toString());
      assertTrue(lines.get(0).endsWith(" RUN_STATE_COMPLETED [nightly]"), lines.toString());
      assertTrue(lines.get(1).startsWith("  ") && lines.get(1).endsWith(" [step]"));
      assertEquals("INVALID_STATE_TRANSITION: RUN_STATE_COMPLETED", lines.get(2));
    }
  }
}
