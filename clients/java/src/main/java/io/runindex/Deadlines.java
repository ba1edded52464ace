package io.runindex;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Bounds each unary call that has no deadline, all its retries together. */
record Deadlines(Duration timeout) implements ClientInterceptor {
  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    boolean unbounded = options.getDeadline() == null && method.getType() == MethodType.UNARY;
    return next.newCall(
        method,
        unbounded ? options.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS) : options);
  }
}
