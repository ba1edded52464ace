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
  @TempDir private Path folder;

  @Test
  void theExampleRecordsANestedRun() throws Exception {
    List<String> lines = run(Path.of("examples/NestedRun.java"));

    assertTrue(lines.get(0).endsWith(" RUN_STATE_COMPLETED [nightly]"), lines.toString());
    assertTrue(lines.get(1).startsWith("  ") && lines.get(1).endsWith(" [step]"));
    assertEquals("INVALID_STATE_TRANSITION: RUN_STATE_COMPLETED", lines.get(2));
  }

  @Test
  void soDoesTheProgramOfTheReadme() throws Exception {
    String readme = Files.readString(Path.of("README.md"));
    String program = readme.substring(readme.indexOf("```java\n") + 8);
    Path file = folder.resolve("Nightly.java");
    Files.writeString(file, program.substring(0, program.indexOf("```\n")));

    List<String> lines = run(file);

    assertTrue(lines.get(0).endsWith(" RUN_STATE_COMPLETED"), lines.toString());
    assertEquals("INVALID_STATE_TRANSITION: only RUN_STATE_ARCHIVED", lines.get(1));
  }

  /** Returns what a program prints that calls a server of its own. */
  private List<String> run(Path program) throws Exception {
    Path output = folder.resolve("output");
    try (Server server = Server.start(folder)) {
      ProcessBuilder builder =
          new ProcessBuilder(
              Path.of(System.getProperty("java.home"), "bin", "java").toString(),
              "-classpath",
              System.getProperty("java.class.path"),
              program.toString());
      builder.environment().put("RUNINDEX_ADDRESS", server.address());
      builder.redirectErrorStream(true).redirectOutput(output.toFile());
      Process example = builder.start();
      if (!example.waitFor(60, TimeUnit.SECONDS)) {
        example.destroyForcibly();
      }
      List<String> lines = Files.readAllLines(output);
      assertEquals(0, example.waitFor(), lines.toString());
      return lines;
    }
  }
}
