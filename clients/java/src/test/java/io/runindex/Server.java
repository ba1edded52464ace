package io.runindex;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A real server, in a process of its own. {@code RUNINDEX_SERVER} names another program to start.
 */
final class Server implements AutoCloseable {
  private static final Pattern GREETING = Pattern.compile("listens on (127\\.0\\.0\\.1:\\d+)");
  private static final int START_S = 30;
  private static final int STOP_S = 15;

  private final Process process;
  private final String address;

  private Server(Process process, String address) {
    this.process = process;
    this.address = address;
  }

  /** Starts a server on a free port, with a store in a folder. */
  static Server start(Path folder) {
    return start(folder, "127.0.0.1:0");
  }

  static Server start(Path folder, String address) {
    String program =
        System.getenv().getOrDefault("RUNINDEX_SERVER", "../../.venv/bin/runindex-server");
    Path log = folder.resolve("server.log");
    Process process;
    try {
      ProcessBuilder builder =
          new ProcessBuilder(
              Path.of(program).toAbsolutePath().toString(),
              "serve",
              "--address",
              address,
              "--data-dir",
              folder.resolve("store").toString());
      process = builder.redirectError(log.toFile()).start();
    } catch (IOException problem) {
      throw new UncheckedIOException("No server: make one in the repository's root", problem);
    }
    try {
      return new Server(process, addressOf(process));
    } catch (Exception problem) {
      process.destroyForcibly();
      throw new IllegalStateException("The server did not start: see " + log, problem);
    }
  }

  String address() {
    return address;
  }

  /** Ends the server at once: what it has acknowledged is in its store. */
  @Override
  public void close() {
    try {
      process.destroyForcibly().waitFor(STOP_S, TimeUnit.SECONDS);
    } catch (InterruptedException interruption) {
      Thread.currentThread().interrupt();
    }
  }

  private static String addressOf(Process process) throws Exception {
    // Closed with the process.
    BufferedReader output =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    String line =
        CompletableFuture.supplyAsync(
                () -> {
                  try {
                    return output.readLine();
                  } catch (IOException problem) {
                    throw new UncheckedIOException(problem);
                  }
                })
            .get(START_S, TimeUnit.SECONDS);
    Matcher greeting = GREETING.matcher(String.valueOf(line));
    if (!greeting.find()) {
      throw new IllegalStateException("It said " + line);
    }
    return greeting.group(1);
  }
}
