package io.runindex;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;
import java.util.UUID;

/**
 * Gives each mutation that carries no {@code request_id} one of its own, so that it is safe to
 * retry.
 */
final class RequestIds implements ClientInterceptor {
  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void sendMessage(Q request) {
        super.sendMessage(withRequestId(request));
      }
    };
  }

  @SuppressWarnings("unchecked") // A builder makes messages of its own type.
  private static <Q> Q withRequestId(Q request) {
    if (request instanceof Message message) {
      FieldDescriptor field = message.getDescriptorForType().findFieldByName("request_id");
      if (field != null && !message.hasField(field)) {
        return (Q) message.toBuilder().setField(field, UUID.randomUUID().toString()).build();
      }
    }
    return request;
  }
}
