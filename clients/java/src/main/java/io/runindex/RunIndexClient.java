package io.runindex;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * A connection to a RunIndex server.
 *
 * <p>Safe for use by several threads, and meant to be kept: one for a program. It connects with its
 * first call.
 *
 * <p>Every mutation carries a {@code request_id}, a random one unless the request has its own. A
 * unary call that ends with UNAVAILABLE is tried again with the same id, so that it is applied once
 * at most.
 */
public final class RunIndexClient implements AutoCloseable {
  /** Where a server listens that was not told otherwise. */
  public static final String DEFAULT_ADDRESS = "localhost:50051";

  // A page ends at 2 MiB and a tree at 3.75 MiB of runs, but either may hold an item that goes
  // beyond.
  private static final int ANSWER_BYTES_MAX = 16 * 1024 * 1024;
  private static final Duration KEEPALIVE_INTERVAL = Duration.ofSeconds(60);
  private static final Duration KEEPALIVE_TIMEOUT = Duration.ofSeconds(20);
  static final Duration CALL_TIMEOUT = Duration.ofSeconds(30);
  static final int ATTEMPTS_MAX = 5;
  private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(5);
  private static final Pattern LOOPBACK =
      Pattern.compile("(dns:/{0,3})?(localhost|127(\\.\\d+){3}|\\[::1\\])(:\\d+)?|unix:.*");
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ManagedChannel connection;
  private final ScheduledExecutorService timer;
  private final Channel channel;
  private final Runs runs;
  private final Data data;
  private final Insights insights;
  private final Templates templates;
  private final Maintenance maintenance;

  private RunIndexClient(Builder builder) {
    connection =
        Grpc.newChannelBuilder(builder.address, builder.credentials())
            .keepAliveTime(KEEPALIVE_INTERVAL.toSeconds(), TimeUnit.SECONDS)
            .keepAliveTimeout(KEEPALIVE_TIMEOUT.toSeconds(), TimeUnit.SECONDS)
            .maxInboundMessageSize(ANSWER_BYTES_MAX)
            // Retries are made here, where the delay that the server asks for is known.
            .disableRetry()
            .build();
    timer = Executors.newSingleThreadScheduledExecutor(RunIndexClient::daemon);
    List<ClientInterceptor> interceptors = new ArrayList<>();
    interceptors.add(new Deadlines(builder.callTimeout));
    interceptors.add(new RequestIds());
    interceptors.add(
        new Retries(
            builder.attemptsMax,
            (task, delay) -> timer.schedule(task, delay.toNanos(), TimeUnit.NANOSECONDS),
            () -> ThreadLocalRandom.current().nextDouble(),
            connection::resetConnectBackoff));
    if (builder.token != null) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + builder.token);
      interceptors.add(MetadataUtils.newAttachHeadersInterceptor(headers));
    }
    channel = ClientInterceptors.interceptForward(connection, interceptors);
    Calls calls = new Calls(channel);
    runs = new Runs(calls);
    data = new Data(calls);
    insights = new Insights(calls);
    templates = new Templates(calls);
    maintenance = new Maintenance(calls);
  }

  /**
   * Connects to the server that {@code RUNINDEX_ADDRESS} names, or else to {@link
   * #DEFAULT_ADDRESS}.
   */
  public static RunIndexClient connect() {
    return builder().build();
  }

  /** Connects to a server, such as {@code localhost:50051}. */
  public static RunIndexClient connect(String address) {
    return builder().address(address).build();
  }

  /** Returns a builder that begins with what the environment says. */
  public static Builder builder() {
    return new Builder(System.getenv());
  }

  /** Returns the index of runs: the 24 methods. */
  public Runs runs() {
    return runs;
  }

  /** Returns what runs hold. */
  public Data data() {
    return data;
  }

  /** Returns what many runs come to. */
  public Insights insights() {
    return insights;
  }

  /** Returns templates and copies of runs. */
  public Templates templates() {
    return templates;
  }

  /** Returns the store's upkeep. */
  public Maintenance maintenance() {
    return maintenance;
  }

  /**
   * Returns the channel for stubs of any kind, such as {@code
   * RunIndexGrpc.newFutureStub(client.channel())}: with the token, request ids, retries and the
   * time limit. What such stubs throw, {@link RunIndexException#from} types.
   */
  public Channel channel() {
    return channel;
  }

  /** Ends the connection. Calls under way may finish within 5 seconds. */
  @Override
  public void close() {
    timer.shutdown();
    connection.shutdown();
    boolean isInterrupted = Thread.interrupted();
    try {
      connection.awaitTermination(isInterrupted ? 0 : CLOSE_TIMEOUT.toSeconds(), TimeUnit.SECONDS);
    } catch (InterruptedException interruption) {
      isInterrupted = true;
    }
    connection.shutdownNow();
    if (isInterrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private static Thread daemon(Runnable task) {
    Thread thread = new Thread(task, "runindex-retries");
    thread.setDaemon(true);
    return thread;
  }

  /** Says how to connect. What is not said comes from the environment. */
  public static final class Builder {
    private String address;
    private String token;
    private File tlsCa;
    private boolean isTls;
    private Duration callTimeout = CALL_TIMEOUT;
    private int attemptsMax = ATTEMPTS_MAX;

    Builder(Map<String, String> environment) {
      address = value(environment, "RUNINDEX_ADDRESS").orElse(DEFAULT_ADDRESS);
      token = value(environment, "RUNINDEX_TOKEN").orElse(null);
      value(environment, "RUNINDEX_TLS_CA").map(Path::of).ifPresent(this::tlsCa);
    }

    /** Returns what a variable says; nothing when it is empty, as when it is not set. */
    private static Optional<String> value(Map<String, String> environment, String name) {
      return Optional.ofNullable(environment.get(name)).filter(value -> !value.isEmpty());
    }

    /** Sets where the server listens, as {@code host:port}. Also {@code RUNINDEX_ADDRESS}. */
    public Builder address(String address) {
      this.address = address;
      return this;
    }

    /** Sets the bearer token that each call carries. Also {@code RUNINDEX_TOKEN}. */
    public Builder token(String token) {
      this.token = token;
      return this;
    }

    /** Sets TLS by the certificate authorities that the machine trusts. */
    public Builder tls() {
      isTls = true;
      return this;
    }

    /** Sets TLS by a file of certificate authorities, in PEM. Also {@code RUNINDEX_TLS_CA}. */
    public Builder tlsCa(Path file) {
      isTls = true;
      tlsCa = file.toFile();
      return this;
    }

    /** Sets how long a unary call may take, its retries included: 30 seconds unless set. */
    public Builder callTimeout(Duration timeout) {
      callTimeout = timeout;
      return this;
    }

    /**
     * Sets how often to try a call that ends with UNAVAILABLE, the first time included: 5 unless
     * set.
     */
    public Builder attemptsMax(int attempts) {
      if (attempts < 1) {
        throw new IllegalArgumentException("A call is tried once at least");
      }
      attemptsMax = attempts;
      return this;
    }

    /**
     * Returns the client.
     *
     * @throws IllegalArgumentException when a token would leave the machine without TLS
     * @throws UncheckedIOException when the certificate authorities cannot be read
     */
    public RunIndexClient build() {
      if (token != null && !isTls && !LOOPBACK.matcher(address).matches()) {
        // All clients begin with the same sentence.
        throw new IllegalArgumentException(
            "a token is sent only over TLS, or to loopback: set tlsCa or RUNINDEX_TLS_CA to reach "
                + address);
      }
      return new RunIndexClient(this);
    }

    private ChannelCredentials credentials() {
      if (!isTls) {
        return InsecureChannelCredentials.create();
      }
      if (tlsCa == null) {
        return TlsChannelCredentials.create();
      }
      try {
        return TlsChannelCredentials.newBuilder().trustManager(tlsCa).build();
      } catch (IOException problem) {
        throw new UncheckedIOException(problem);
      }
    }
  }
}
