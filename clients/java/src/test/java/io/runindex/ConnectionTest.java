package io.runindex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import io.runindex.v1.CloseRunRequest;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConnectionTest {
  private static final CloseRunRequest REQUEST =
      CloseRunRequest.newBuilder().setRunId("default").build();

  @Test
  void whatTheEnvironmentSaysIsUsed(@TempDir Path folder) throws Exception {
    Identity identity = Identity.create(folder);
    try (FaultyServer server = new FaultyServer(identity.credentials())) {
      Map<String, String> environment =
          Map.of(
              "RUNINDEX_ADDRESS", server.address(),
              "RUNINDEX_TOKEN", "secret",
              "RUNINDEX_TLS_CA", identity.certificate().toString());
      try (RunIndexClient client = new RunIndexClient.Builder(environment).build()) {
        client.runs().closeRun(REQUEST);
      }
      assertEquals(List.of("Bearer secret"), server.authorizations);
    }
  }

  @Test
  void argumentsStandAboveTheEnvironment() throws Exception {
    try (FaultyServer server = new FaultyServer()) {
      Map<String, String> environment =
          Map.of("RUNINDEX_ADDRESS", "127.0.0.1:1", "RUNINDEX_TOKEN", "other");
      try (RunIndexClient client =
          new RunIndexClient.Builder(environment)
              .address(server.address())
              .token("secret")
              .build()) {
        client.runs().closeRun(REQUEST);
      }
      assertEquals(List.of("Bearer secret"), server.authorizations);
    }
  }

  @Test
  void emptyVariablesSayNothing() {
    Map<String, String> environment =
        Map.of("RUNINDEX_ADDRESS", "", "RUNINDEX_TOKEN", "", "RUNINDEX_TLS_CA", "");
    try (RunIndexClient client = new RunIndexClient.Builder(environment).build()) {
      assertEquals(RunIndexClient.DEFAULT_ADDRESS, client.channel().authority());
    }
  }

  @Test
  void aServerOfAnUnknownAuthorityIsRefused(@TempDir Path folder) throws Exception {
    Identity identity = Identity.create(folder);
    try (FaultyServer server = new FaultyServer(identity.credentials());
        RunIndexClient client =
            new RunIndexClient.Builder(Map.of())
                .address(server.address())
                .tls()
                .attemptsMax(1)
                .build()) {
      RunIndexException failure =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));

      assertEquals(Status.Code.UNAVAILABLE, failure.code());
      assertTrue(server.requests.isEmpty());
    }
  }

  @Test
  void aTokenLeavesTheMachineWithTlsOnly() {
    for (String address : List.of("example.invalid:50051", "localhost.example.invalid:50051")) {
      RunIndexClient.Builder builder =
          new RunIndexClient.Builder(Map.of()).address(address).token("secret");
      String message = assertThrows(IllegalArgumentException.class, builder::build).getMessage();
      assertTrue(message.startsWith("a token is sent only over TLS, or to loopback: "), message);
      assertFalse(message.contains("secret"), message);
      builder.tls().build().close();
    }
    for (String address : List.of("localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1")) {
      new RunIndexClient.Builder(Map.of()).address(address).token("secret").build().close();
    }
  }

  @Test
  void authoritiesThatCannotBeReadAreToldAtOnce(@TempDir Path folder) {
    RunIndexClient.Builder builder =
        new RunIndexClient.Builder(Map.of()).tlsCa(folder.resolve("missing"));
    assertThrows(UncheckedIOException.class, builder::build);
  }

  @Test
  void aCallIsBoundedInTime() throws Exception {
    // A socket that accepts connections and never answers.
    try (var silent = new java.net.ServerSocket(0);
        RunIndexClient client =
            new RunIndexClient.Builder(Map.of())
                .address("localhost:" + silent.getLocalPort())
                .callTimeout(Duration.ofMillis(300))
                .build()) {
      RunIndexException failure =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));

      assertEquals(Status.Code.DEADLINE_EXCEEDED, failure.code());
    }
  }

  /** A certificate for localhost, its own authority, with its key. */
  private record Identity(Path certificate, Path key) {
    static Identity create(Path folder) throws Exception {
      Path store = folder.resolve("store.p12");
      String password = "password";
      Process keytool =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                  "-genkeypair",
                  "-keyalg",
                  "EC",
                  "-alias",
                  "server",
                  "-dname",
                  "CN=localhost",
                  "-ext",
                  "san=dns:localhost",
                  "-keystore",
                  store.toString(),
                  "-storepass",
                  password)
              .inheritIO()
              .start();
      assertTrue(keytool.waitFor(30, TimeUnit.SECONDS));
      KeyStore keys = KeyStore.getInstance(store.toFile(), password.toCharArray());
      Path certificate = folder.resolve("certificate.pem");
      Files.writeString(
          certificate, pem("CERTIFICATE", keys.getCertificate("server").getEncoded()));
      Path key = folder.resolve("key.pem");
      Files.writeString(
          key, pem("PRIVATE KEY", keys.getKey("server", password.toCharArray()).getEncoded()));
      return new Identity(certificate, key);
    }

    io.grpc.ServerCredentials credentials() throws Exception {
      return TlsServerCredentials.create(certificate.toFile(), key.toFile());
    }

    private static String pem(String label, byte[] content) {
      String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(content);
      return "-----BEGIN %s-----%n%s%n-----END %s-----%n".formatted(label, body, label);
    }
  }
}
