package io.runindex;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import io.runindex.v1.CloseRunRequest;
import io.runindex.v1.CloseRunResponse;
import io.runindex.v1.RunIndexGrpc.RunIndexImplBase;
import java.io.IOException;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;

/** A server that refuses the first calls as it is told to, and keeps what it was asked. */
final class FaultyServer extends RunIndexImplBase implements ServerInterceptor, AutoCloseable {
  static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  final List<CloseRunRequest> requests = new CopyOnWriteArrayList<>();
  final List<String> authorizations = new CopyOnWriteArrayList<>();

  private final Queue<StatusRuntimeException> refusals = new ConcurrentLinkedQueue<>();
  private final Server server;

  FaultyServer(StatusRuntimeException... refusals) throws IOException {
    this(InsecureServerCredentials.create(), refusals);
  }

  FaultyServer(ServerCredentials credentials, StatusRuntimeException... refusals)
      throws IOException {
    this.refusals.addAll(List.of(refusals));
    server = Grpc.newServerBuilderForPort(0, credentials).addService(this).intercept(this).build();
    server.start();
  }

  static StatusRuntimeException refusal(Status.Code code, String reason) {
    return refusal(code, ErrorInfo.newBuilder().setDomain("runindex").setReason(reason).build());
  }

  static StatusRuntimeException refusal(Status.Code code, com.google.protobuf.Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("no");
    for (com.google.protobuf.Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  static RetryInfo retryAfter(java.time.Duration delay) {
    return RetryInfo.newBuilder()
        .setRetryDelay(
            Duration.newBuilder().setSeconds(delay.getSeconds()).setNanos(delay.getNano()))
        .build();
  }

  String address() {
    return "localhost:" + server.getPort();
  }

  @Override
  public void closeRun(CloseRunRequest request, StreamObserver<CloseRunResponse> observer) {
    requests.add(request);
    StatusRuntimeException refusal = refusals.poll();
    if (refusal != null) {
      observer.onError(refusal);
      return;
    }
    observer.onNext(CloseRunResponse.newBuilder().setVersion(2).build());
    observer.onCompleted();
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    authorizations.add(String.valueOf(headers.get(AUTHORIZATION)));
    return next.startCall(call, headers);
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
