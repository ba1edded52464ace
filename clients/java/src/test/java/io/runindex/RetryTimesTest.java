package io.runindex;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.runindex.v1.GetRunRequest;
import io.runindex.v1.MaintenanceGrpc;
import io.runindex.v1.RunIndexGrpc;
import io.runindex.v1.VerifyRequest;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** When attempts are made, by a clock and a chance of the test's own. */
class RetryTimesTest {
  private static final Duration CALL_TIMEOUT = Duration.ofSeconds(30);

  private long nowNanos = 1;
  private Status ended;

  @Test
  void aCallIsTriedFiveTimesAfterDelaysThatDoubleAndAreDrawnFromTheirUpperHalf() {
    assertEquals(List.of(0, 50, 150, 350, 750), attempts(0, Duration.ZERO, 5));
    assertEquals(List.of(0, 75, 225, 525, 1_125), attempts(0.5, Duration.ZERO, 5));
    assertEquals(List.of(0, 100, 300, 700, 1_500), attempts(1 - 1e-9, Duration.ZERO, 5));
    assertEquals(Status.Code.UNAVAILABLE, ended.getCode());
    assertEquals(5, RunIndexClient.ATTEMPTS_MAX);
  }

  @Test
  void delaysGrowToTwoSeconds() {
    assertEquals(List.of(0, 50, 150, 350, 750, 1_550, 2_550, 3_550), attempts(0, Duration.ZERO, 8));
  }

  @Test
  void theDelayThatTheServerAsksForIsALowerBoundAndNoMore() {
    assertEquals(List.of(0, 150, 300, 500, 900), attempts(0, Duration.ofMillis(150), 5));
    assertEquals(
        List.of(0, 6_000, 12_000, 18_000, 24_000), attempts(0.5, Duration.ofSeconds(6), 5));
  }

  @Test
  void allAttemptsAreWithinTheDeadline() {
    assertEquals(List.of(0, 10_000, 20_000), attempts(0.5, Duration.ofSeconds(10), 5));
    assertEquals(List.of(0), attempts(0.5, CALL_TIMEOUT, 5));
    assertEquals(List.of(0), attempts(0.5, Duration.ofSeconds(Long.MAX_VALUE), 5));
    assertEquals(Status.Code.UNAVAILABLE, ended.getCode());
    assertEquals(RunIndexClient.CALL_TIMEOUT, CALL_TIMEOUT);
  }

  @Test
  void streamsAreTriedOnce() {
    List<Integer> starts =
        attempts(
            MaintenanceGrpc.getVerifyMethod(),
            VerifyRequest.getDefaultInstance(),
            0,
            Duration.ZERO,
            5);
    assertEquals(List.of(0), starts);
    assertEquals(Status.Code.UNAVAILABLE, ended.getCode());
  }

  private List<Integer> attempts(double random, Duration asked, int attemptsMax) {
    return attempts(
        RunIndexGrpc.getGetRunMethod(),
        GetRunRequest.getDefaultInstance(),
        random,
        asked,
        attemptsMax);
  }

  /** Makes a call that is unavailable however often it is tried; returns when, in milliseconds. */
  private <Q, A> List<Integer> attempts(
      MethodDescriptor<Q, A> method, Q request, double random, Duration asked, int attemptsMax) {
    List<Integer> startsMs = new ArrayList<>();
    Queue<Runnable> scheduled = new ArrayDeque<>();
    long beginNanos = nowNanos;
    Retries retries =
        new Retries(
            attemptsMax,
            (task, delay) -> {
              scheduled.add(
                  () -> {
                    nowNanos += delay.toNanos();
                    task.run();
                  });
              return new FutureTask<>(task, null);
            },
            () -> random,
            () -> {});
    Channel unavailable =
        new Unavailable(asked, () -> startsMs.add((int) Math.round((nowNanos - beginNanos) / 1e6)));
    Deadline deadline = Deadline.after(CALL_TIMEOUT.toNanos(), TimeUnit.NANOSECONDS, new Clock());

    ended = null;
    ClientCall<Q, A> call =
        retries.interceptCall(method, CallOptions.DEFAULT.withDeadline(deadline), unavailable);
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onClose(Status status, Metadata trailers) {
            ended = status;
          }
        },
        new Metadata());
    call.sendMessage(request);
    call.halfClose();
    while (!scheduled.isEmpty()) {
      scheduled.remove().run();
    }
    return startsMs;
  }

  private final class Clock extends Deadline.Ticker {
    @Override
    public long nanoTime() {
      return nowNanos;
    }
  }

  /** A channel whose calls end at once. */
  private static final class Unavailable extends Channel {
    private final StatusRuntimeException refusal;
    private final Runnable note;

    Unavailable(Duration asked, Runnable note) {
      refusal = FaultyServer.refusal(Status.Code.UNAVAILABLE, FaultyServer.retryAfter(asked));
      this.note = note;
    }

    @Override
    public <Q, A> ClientCall<Q, A> newCall(MethodDescriptor<Q, A> method, CallOptions options) {
      return new ClientCall<>() {
        private Listener<A> listener;

        @Override
        public void start(Listener<A> listener, Metadata headers) {
          this.listener = listener;
        }

        @Override
        public void request(int count) {}

        @Override
        public void sendMessage(Q message) {}

        @Override
        public void cancel(String message, Throwable cause) {}

        @Override
        public void halfClose() {
          note.run();
          listener.onClose(refusal.getStatus(), refusal.getTrailers());
        }
      };
    }

    @Override
    public String authority() {
      return "";
    }
  }
}
