package io.runindex;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.util.Iterator;
import java.util.function.Supplier;

/** Makes blocking calls, and throws their refusals as {@link RunIndexException}. */
final class Calls {
  private final Channel channel;

  Calls(Channel channel) {
    this.channel = channel;
  }

  <Q, A> A unary(MethodDescriptor<Q, A> method, Q request) {
    return translated(
        () -> ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, request));
  }

  <Q, A> Iterator<A> serverStreaming(MethodDescriptor<Q, A> method, Q request) {
    Iterator<A> pieces =
        translated(
            () ->
                ClientCalls.blockingServerStreamingCall(
                    channel, method, CallOptions.DEFAULT, request));
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return translated(pieces::hasNext);
      }

      @Override
      public A next() {
        return translated(pieces::next);
      }
    };
  }

  private static <A> A translated(Supplier<A> call) {
    try {
      return call.get();
    } catch (StatusRuntimeException refusal) {
      throw RunIndexException.from(refusal);
    }
  }
}
