package io.runindex;

import io.runindex.v1.BackupRequest;
import io.runindex.v1.BackupResponse;
import io.runindex.v1.CompactRequest;
import io.runindex.v1.CompactResponse;
import io.runindex.v1.GetStatusRequest;
import io.runindex.v1.GetStatusResponse;
import io.runindex.v1.MaintenanceGrpc;
import io.runindex.v1.VerifyRequest;
import io.runindex.v1.VerifyResponse;
import java.util.Iterator;

/**
 * The store's upkeep, for operators.
 *
 * <p>One method for each RPC of the service {@code Maintenance}: what it means, and how it is
 * refused, is told in the contract and in the comments of the generated stubs. Refusals are thrown
 * as {@link RunIndexException}.
 */
public final class Maintenance {
  private final Calls calls;

  Maintenance(Calls calls) {
    this.calls = calls;
  }

  /** Tells what the store is like. */
  public GetStatusResponse getStatus(GetStatusRequest request) {
    return calls.unary(MaintenanceGrpc.getGetStatusMethod(), request);
  }

  /** Enforces retention now: removes what the policies say, and nothing else. */
  public Iterator<CompactResponse> compact(CompactRequest request) {
    return calls.serverStreaming(MaintenanceGrpc.getCompactMethod(), request);
  }

  /**
   * Checks that everything in the store follows from the records: index rows of runs, postings,
   * counters and data on one consistent copy, what belongs to single rows in bounded snapshots of
   * the running store.
   */
  public Iterator<VerifyResponse> verify(VerifyRequest request) {
    return calls.serverStreaming(MaintenanceGrpc.getVerifyMethod(), request);
  }

  /**
   * Returns a consistent snapshot of the whole store: a header, the bytes of a data file in pieces,
   * and a trailer by which the receiver knows that it has them all. {@code runindex-server restore}
   * takes them back.
   */
  public Iterator<BackupResponse> backup(BackupRequest request) {
    return calls.serverStreaming(MaintenanceGrpc.getBackupMethod(), request);
  }
}
