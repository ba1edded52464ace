package io.runindex;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.runindex.v1.ErrorReason;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call that was refused, or that did not reach the server.
 *
 * <p>Programs branch on {@link #code()} and {@link #reason()}; the message is for people, and may
 * change.
 */
public final class RunIndexException extends StatusRuntimeException {
  private static final long serialVersionUID = 1;
  private static final String DOMAIN = "runindex";
  private static final String REASON_PREFIX = "ERROR_REASON_";

  private final String reason;
  private final Map<String, String> metadata;
  private final transient List<FieldViolation> fieldViolations;
  private final Duration retryDelay;

  private RunIndexException(Status status, Metadata trailers) {
    super(status, trailers);
    com.google.rpc.Status details = details(status, trailers);
    Optional<ErrorInfo> info =
        detail(details, ErrorInfo.class).filter(found -> found.getDomain().equals(DOMAIN));
    reason = info.map(ErrorInfo::getReason).orElse("");
    metadata = info.map(found -> Map.copyOf(found.getMetadataMap())).orElse(Map.of());
    fieldViolations =
        detail(details, BadRequest.class).map(BadRequest::getFieldViolationsList).orElse(List.of());
    retryDelay = retryDelay(details).orElse(null);
  }

  /** Returns the typed form of a refusal that a generated stub threw. */
  public static RunIndexException from(StatusRuntimeException refusal) {
    if (refusal instanceof RunIndexException typed) {
      return typed;
    }
    return new RunIndexException(refusal.getStatus(), refusal.getTrailers());
  }

  /** Returns the status code. */
  public Status.Code code() {
    return getStatus().getCode();
  }

  /**
   * Returns why the call was refused: the name of an {@link ErrorReason} without its prefix, such
   * as {@code RUN_NOT_FOUND}; empty when it was not the server that refused, as when it cannot be
   * reached. Reasons may be added: treat an unknown one by {@link #code()}.
   */
  public String reason() {
    return reason;
  }

  /** Tells whether the call was refused for a reason. */
  public boolean is(ErrorReason expected) {
    return expected.name().equals(REASON_PREFIX + reason);
  }

  /**
   * Returns what belongs to the reason, such as {@code runId}, by the keys that the contract names;
   * or nothing.
   */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** Returns the fields of the request that were refused, and what is wrong with each. */
  public List<FieldViolation> fieldViolations() {
    return fieldViolations == null ? List.of() : fieldViolations;
  }

  /** Returns how long to wait before trying again, where the server says so. */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(retryDelay);
  }

  @Override
  public String getMessage() {
    return reason == null || reason.isEmpty()
        ? super.getMessage()
        : reason + ", " + super.getMessage();
  }

  /** Returns the delay that a refusal names. */
  static Optional<Duration> retryDelay(Status status, Metadata trailers) {
    return retryDelay(details(status, trailers));
  }

  private static Optional<Duration> retryDelay(com.google.rpc.Status details) {
    return detail(details, RetryInfo.class)
        .map(RetryInfo::getRetryDelay)
        .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
  }

  private static com.google.rpc.Status details(Status status, Metadata trailers) {
    try {
      return StatusProto.fromStatusAndTrailers(
          status, trailers == null ? new Metadata() : trailers);
    } catch (IllegalArgumentException mismatch) {
      // Details of another status code, which some proxy has left in place, tell nothing about this
      // one.
      return com.google.rpc.Status.getDefaultInstance();
    }
  }

  private static <T extends Message> Optional<T> detail(
      com.google.rpc.Status details, Class<T> type) {
    for (Any detail : details.getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException damaged) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
