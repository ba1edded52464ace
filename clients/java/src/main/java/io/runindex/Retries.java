package io.runindex;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;

/**
 * Tries unary calls again that end with UNAVAILABLE, and no others.
 *
 * <p>Before each attempt but the first it waits: at least as long as the server asks for, and
 * longer each time. It gives up when the attempts are used up, or when the call's deadline would
 * pass in the wait.
 */
final class Retries implements ClientInterceptor {
  private static final Duration DELAY_FIRST = Duration.ofMillis(100);
  private static final Duration DELAY_MAX = Duration.ofSeconds(2);

  private final int attemptsMax;
  private final Timer timer;
  private final DoubleSupplier random;
  private final Runnable reconnect;

  /**
   * Creates the interceptor.
   *
   * @param attemptsMax how often to try a call, the first time included
   * @param timer begins the attempts after the first
   * @param random returns numbers from 0 to below 1
   * @param reconnect ends the channel's own pause between connection attempts, which may be longer
   *     than ours
   */
  Retries(int attemptsMax, Timer timer, DoubleSupplier random, Runnable reconnect) {
    this.attemptsMax = attemptsMax;
    this.timer = timer;
    this.random = random;
    this.reconnect = reconnect;
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    return method.getType() == MethodType.UNARY && attemptsMax > 1
        ? new RetriedCall<>(method, options, next)
        : next.newCall(method, options);
  }

  /**
   * Returns how long to wait before the next attempt: between the half and the whole of a delay
   * that doubles, so that callers who failed together do not come back together, and never less
   * than what the server asks for.
   */
  private Duration delay(int attempts, Duration asked) {
    long wholeNanos = DELAY_FIRST.toNanos() << Math.min(attempts - 1, 16);
    double part = 0.5 + random.getAsDouble() / 2;
    Duration drawn = Duration.ofNanos((long) (Math.min(wholeNanos, DELAY_MAX.toNanos()) * part));
    return drawn.compareTo(asked) < 0 ? asked : drawn;
  }

  /** Runs a task after a delay. */
  interface Timer {
    Future<?> schedule(Runnable task, Duration delay);
  }

  /**
   * A call of one request that may take several attempts. What an attempt answers is held back
   * until it ends.
   */
  private final class RetriedCall<Q, A> extends ClientCall<Q, A> {
    private final MethodDescriptor<Q, A> method;
    private final CallOptions options;
    private final Channel next;
    private final Context context = Context.current();

    private Listener<A> listener;
    private Metadata headers;
    private Q request;

    // Guarded by this.
    private int attempts;
    private ClientCall<Q, A> attempt;
    private Future<?> waiting;
    private boolean isCancelled;

    RetriedCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      this.method = method;
      this.options = options;
      this.next = next;
    }

    @Override
    public void start(Listener<A> listener, Metadata headers) {
      this.listener = listener;
      this.headers = headers;
    }

    @Override
    public void request(int count) {
      // Each attempt asks for its one answer itself.
    }

    @Override
    public void sendMessage(Q message) {
      request = message;
    }

    @Override
    public void halfClose() {
      begin();
    }

    @Override
    public void cancel(String message, Throwable cause) {
      synchronized (this) {
        if (isCancelled) {
          return;
        }
        isCancelled = true;
        if (attempt != null) {
          attempt.cancel(message, cause);
          return;
        }
        if (waiting != null) {
          waiting.cancel(false);
        }
      }
      if (listener == null) {
        return;
      }
      listener.onClose(Status.CANCELLED.withDescription(message).withCause(cause), new Metadata());
    }

    private synchronized void begin() {
      if (isCancelled) {
        return;
      }
      waiting = null;
      attempts++;
      // By a name of its own: the call may end, and be set aside, while it is begun.
      ClientCall<Q, A> call = next.newCall(method, options);
      attempt = call;
      Metadata copy = new Metadata();
      copy.merge(headers);
      call.start(new Attempt(), copy);
      // Two, as the stubs of gRPC do: a second answer is then noticed as a fault.
      call.request(2);
      call.sendMessage(request);
      call.halfClose();
    }

    /** Whether the call will be tried again. */
    private synchronized boolean isToBeRetried(Status status, Metadata trailers) {
      if (status.getCode() != Status.Code.UNAVAILABLE || isCancelled || attempts >= attemptsMax) {
        return false;
      }
      Duration asked = RunIndexException.retryDelay(status, trailers).orElse(Duration.ZERO);
      Duration delay = delay(attempts, asked);
      Deadline deadline = options.getDeadline();
      if (deadline != null
          && Duration.ofNanos(deadline.timeRemaining(TimeUnit.NANOSECONDS)).compareTo(delay) <= 0) {
        return false;
      }
      attempt = null;
      try {
        waiting = timer.schedule(context.wrap(this::beginAgain), delay);
        return true;
      } catch (RejectedExecutionException closed) {
        return false;
      }
    }

    private void beginAgain() {
      try {
        reconnect.run();
        begin();
      } catch (RuntimeException fault) {
        // On the timer's thread nobody would see it, and the caller would wait for ever.
        listener.onClose(Status.fromThrowable(fault), new Metadata());
      }
    }

    private final class Attempt extends Listener<A> {
      private Metadata answerHeaders;
      private A answer;

      @Override
      public void onHeaders(Metadata headers) {
        answerHeaders = headers;
      }

      @Override
      public void onMessage(A message) {
        answer = message;
      }

      @Override
      public void onClose(Status status, Metadata trailers) {
        if (isToBeRetried(status, trailers)) {
          return;
        }
        if (answerHeaders != null) {
          listener.onHeaders(answerHeaders);
        }
        if (answer != null) {
          listener.onMessage(answer);
        }
        listener.onClose(status, trailers);
      }
    }
  }
}
