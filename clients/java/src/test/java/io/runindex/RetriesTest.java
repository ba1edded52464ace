package io.runindex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.runindex.v1.CloseRunRequest;
import io.runindex.v1.CountRunsRequest;
import io.runindex.v1.CreateRunRequest;
import io.runindex.v1.ErrorReason;
import io.runindex.v1.RunIndexGrpc;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class RetriesTest {
  private static final CloseRunRequest REQUEST =
      CloseRunRequest.newBuilder().setRunId("default").build();
  private static final StatusRuntimeException OVERLOADED =
      FaultyServer.refusal(Status.Code.UNAVAILABLE, "OVERLOADED");

  private static RunIndexClient.Builder to(FaultyServer server) {
    return new RunIndexClient.Builder(java.util.Map.of()).address(server.address());
  }

  @Test
  void retriesOfACallCarryOneRequestId() throws Exception {
    try (FaultyServer server = new FaultyServer(OVERLOADED, OVERLOADED);
        RunIndexClient client = to(server).build()) {
      assertEquals(2, client.runs().closeRun(REQUEST).getVersion());

      assertEquals(3, server.requests.size());
      assertEquals(1, new HashSet<>(server.requests).size());
      assertFalse(server.requests.get(0).getRequestId().isEmpty());
    }
  }

  @Test
  void eachCallHasARequestIdOfItsOwn() throws Exception {
    try (FaultyServer server = new FaultyServer();
        RunIndexClient client = to(server).build()) {
      client.runs().closeRun(REQUEST);
      client.runs().closeRun(REQUEST);

      assertEquals(2, Set.copyOf(server.requests).size());
    }
  }

  @Test
  void theCallersRequestIdIsKept() throws Exception {
    try (FaultyServer server = new FaultyServer(OVERLOADED);
        RunIndexClient client = to(server).build()) {
      client.runs().closeRun(REQUEST.toBuilder().setRequestId("mine").build());

      assertTrue(server.requests.stream().allMatch(call -> call.getRequestId().equals("mine")));
    }
  }

  @Test
  void theDelayThatTheServerAsksForIsRespected() throws Exception {
    Duration asked = Duration.ofMillis(700);
    StatusRuntimeException later =
        FaultyServer.refusal(Status.Code.UNAVAILABLE, FaultyServer.retryAfter(asked));
    try (FaultyServer server = new FaultyServer(later);
        RunIndexClient client = to(server).build()) {
      long start = System.nanoTime();
      client.runs().closeRun(REQUEST);

      assertTrue(System.nanoTime() - start >= asked.toNanos());
    }
  }

  @Test
  void aDelayBeyondTheDeadlineIsNotWaitedFor() throws Exception {
    StatusRuntimeException later =
        FaultyServer.refusal(Status.Code.UNAVAILABLE, FaultyServer.retryAfter(Duration.ofHours(1)));
    try (FaultyServer server = new FaultyServer(later);
        RunIndexClient client = to(server).callTimeout(Duration.ofSeconds(20)).build()) {
      RunIndexException refusal =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));

      assertEquals(Status.Code.UNAVAILABLE, refusal.code());
      assertEquals(Duration.ofHours(1), refusal.retryDelay().orElseThrow());
      assertEquals(1, server.requests.size());
    }
  }

  @Test
  void attemptsAreBounded() throws Exception {
    try (FaultyServer server = new FaultyServer(OVERLOADED, OVERLOADED, OVERLOADED, OVERLOADED);
        RunIndexClient client = to(server).attemptsMax(3).build()) {
      RunIndexException refusal =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));

      assertTrue(refusal.is(ErrorReason.ERROR_REASON_OVERLOADED));
      assertEquals(3, server.requests.size());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      names = {"OK", "UNAVAILABLE"},
      mode = EnumSource.Mode.EXCLUDE)
  void noOtherCodeIsRetried(Status.Code code) throws Exception {
    try (FaultyServer server = new FaultyServer(FaultyServer.refusal(code, "SOME_REASON"));
        RunIndexClient client = to(server).build()) {
      RunIndexException refusal =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));

      assertEquals(code, refusal.code());
      assertEquals("SOME_REASON", refusal.reason());
      assertEquals(1, server.requests.size());
    }
  }

  @Test
  void stubsThatDoNotBlockAreRetriedToo() throws Exception {
    try (FaultyServer server = new FaultyServer(OVERLOADED);
        RunIndexClient client = to(server).build()) {
      var stub = RunIndexGrpc.newFutureStub(client.channel()).withExecutor(Runnable::run);

      assertEquals(2, stub.closeRun(REQUEST).get(20, TimeUnit.SECONDS).getVersion());
      assertEquals(2, server.requests.size());
      assertEquals(1, Set.copyOf(server.requests).size());
    }
  }

  @Test
  void aClosedClientRefusesAtOnce() throws Exception {
    try (FaultyServer server = new FaultyServer()) {
      RunIndexClient client = to(server).build();
      client.close();

      RunIndexException failure =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));
      assertEquals(Status.Code.UNAVAILABLE, failure.code());
    }
  }

  @Test
  void anInterruptionEndsTheWait() throws Exception {
    StatusRuntimeException later =
        FaultyServer.refusal(
            Status.Code.UNAVAILABLE, FaultyServer.retryAfter(Duration.ofSeconds(20)));
    try (FaultyServer server = new FaultyServer(later);
        RunIndexClient client = to(server).build()) {
      CompletableFuture<Throwable> outcome = new CompletableFuture<>();
      Thread caller =
          new Thread(
              () -> {
                try {
                  client.runs().closeRun(REQUEST);
                  outcome.complete(null);
                } catch (RunIndexException cancellation) {
                  outcome.complete(cancellation);
                }
              });
      caller.start();
      while (server.requests.isEmpty()) {
        Thread.sleep(10);
      }
      Thread.sleep(200);
      caller.interrupt();

      Throwable thrown = outcome.get(5, TimeUnit.SECONDS);
      assertEquals(Status.Code.CANCELLED, ((RunIndexException) thrown).code());
      assertEquals(1, server.requests.size());
    }
  }

  @Test
  void aServerThatCannotBeReachedHasNoReason() {
    try (RunIndexClient client =
        new RunIndexClient.Builder(java.util.Map.of())
            .address("127.0.0.1:1")
            .attemptsMax(2)
            .build()) {
      RunIndexException failure =
          assertThrows(RunIndexException.class, () -> client.runs().closeRun(REQUEST));

      assertEquals(Status.Code.UNAVAILABLE, failure.code());
      assertEquals("", failure.reason());
    }
  }

  @Test
  void aRestartOfTheServerIsNotNoticed(@TempDir Path folder) throws Exception {
    Server first = Server.start(folder);
    try (RunIndexClient client =
        new RunIndexClient.Builder(java.util.Map.of())
            .address(first.address())
            .attemptsMax(20)
            .build()) {
      CreateRunRequest request = CreateRunRequest.getDefaultInstance();
      client.runs().createRun(request);
      first.close();
      var late = CompletableFuture.supplyAsync(() -> client.runs().createRun(request));
      Thread.sleep(500);
      assertFalse(late.isDone());
      try (Server second = Server.start(folder, first.address())) {
        assertEquals(first.address(), second.address());
        late.get(20, TimeUnit.SECONDS);
        var count = client.runs().countRuns(CountRunsRequest.getDefaultInstance()).getCount();
        assertEquals(3, count);
      }
    } finally {
      first.close();
    }
  }
}
