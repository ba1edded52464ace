package io.runindex;

import io.runindex.v1.AddRunTagsRequest;
import io.runindex.v1.AddRunTagsResponse;
import io.runindex.v1.ArchiveRunRequest;
import io.runindex.v1.ArchiveRunResponse;
import io.runindex.v1.CancelRunRequest;
import io.runindex.v1.CancelRunResponse;
import io.runindex.v1.CloseRunRequest;
import io.runindex.v1.CloseRunResponse;
import io.runindex.v1.CountRunsRequest;
import io.runindex.v1.CountRunsResponse;
import io.runindex.v1.CreateChildRunRequest;
import io.runindex.v1.CreateChildRunResponse;
import io.runindex.v1.CreateRunRequest;
import io.runindex.v1.CreateRunResponse;
import io.runindex.v1.DeleteRunRequest;
import io.runindex.v1.DeleteRunResponse;
import io.runindex.v1.FailRunRequest;
import io.runindex.v1.FailRunResponse;
import io.runindex.v1.GetChildRunsRequest;
import io.runindex.v1.GetChildRunsResponse;
import io.runindex.v1.GetParentRunRequest;
import io.runindex.v1.GetParentRunResponse;
import io.runindex.v1.GetRunRequest;
import io.runindex.v1.GetRunResponse;
import io.runindex.v1.GetRunRetentionRequest;
import io.runindex.v1.GetRunRetentionResponse;
import io.runindex.v1.GetRunTagsRequest;
import io.runindex.v1.GetRunTagsResponse;
import io.runindex.v1.ListRunsRequest;
import io.runindex.v1.ListRunsResponse;
import io.runindex.v1.PauseRunRequest;
import io.runindex.v1.PauseRunResponse;
import io.runindex.v1.QueryRunsByStateRequest;
import io.runindex.v1.QueryRunsByStateResponse;
import io.runindex.v1.QueryRunsByTagRequest;
import io.runindex.v1.QueryRunsByTagResponse;
import io.runindex.v1.RemoveRunTagsRequest;
import io.runindex.v1.RemoveRunTagsResponse;
import io.runindex.v1.ResumeRunRequest;
import io.runindex.v1.ResumeRunResponse;
import io.runindex.v1.Run;
import io.runindex.v1.RunExistsRequest;
import io.runindex.v1.RunExistsResponse;
import io.runindex.v1.RunIndexGrpc;
import io.runindex.v1.SearchRunsRequest;
import io.runindex.v1.SearchRunsResponse;
import io.runindex.v1.SetRunRetentionRequest;
import io.runindex.v1.SetRunRetentionResponse;
import io.runindex.v1.UpdateRunMetadataRequest;
import io.runindex.v1.UpdateRunMetadataResponse;

/**
 * The 24 methods of the index of runs.
 *
 * <p>One method for each RPC of the service {@code RunIndex}: what it means, and how it is refused,
 * is told in the contract and in the comments of the generated stubs. Refusals are thrown as {@link
 * RunIndexException}.
 */
public final class Runs {
  private final Calls calls;

  Runs(Calls calls) {
    this.calls = calls;
  }

  /** Creates a run: ACTIVE, version 1, without a parent. */
  public CreateRunResponse createRun(CreateRunRequest request) {
    return calls.unary(RunIndexGrpc.getCreateRunMethod(), request);
  }

  /** Returns one run, whatever its state. */
  public GetRunResponse getRun(GetRunRequest request) {
    return calls.unary(RunIndexGrpc.getGetRunMethod(), request);
  }

  /** Lists runs, optionally of some states. */
  public Pages<ListRunsResponse, Run> listRuns(ListRunsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token -> calls.unary(RunIndexGrpc.getListRunsMethod(), pageOf(request, token)),
        ListRunsResponse::getRunsList,
        ListRunsResponse::getNextPageToken);
  }

  /** Tells whether a run exists, in any state. */
  public RunExistsResponse runExists(RunExistsRequest request) {
    return calls.unary(RunIndexGrpc.getRunExistsMethod(), request);
  }

  /** Replaces a run's metadata, or merges into it. */
  public UpdateRunMetadataResponse updateRunMetadata(UpdateRunMetadataRequest request) {
    return calls.unary(RunIndexGrpc.getUpdateRunMetadataMethod(), request);
  }

  /** Completes a run successfully: from ACTIVE to COMPLETED. */
  public CloseRunResponse closeRun(CloseRunRequest request) {
    return calls.unary(RunIndexGrpc.getCloseRunMethod(), request);
  }

  /** Pauses a run: from ACTIVE to PAUSED. */
  public PauseRunResponse pauseRun(PauseRunRequest request) {
    return calls.unary(RunIndexGrpc.getPauseRunMethod(), request);
  }

  /** Resumes a run: from PAUSED to ACTIVE. */
  public ResumeRunResponse resumeRun(ResumeRunRequest request) {
    return calls.unary(RunIndexGrpc.getResumeRunMethod(), request);
  }

  /** Fails a run and keeps why: from ACTIVE to FAILED. */
  public FailRunResponse failRun(FailRunRequest request) {
    return calls.unary(RunIndexGrpc.getFailRunMethod(), request);
  }

  /** Cancels a run: from ACTIVE or PAUSED to CANCELLED. */
  public CancelRunResponse cancelRun(CancelRunRequest request) {
    return calls.unary(RunIndexGrpc.getCancelRunMethod(), request);
  }

  /** Archives a run: from any other state to ARCHIVED, for good. */
  public ArchiveRunResponse archiveRun(ArchiveRunRequest request) {
    return calls.unary(RunIndexGrpc.getArchiveRunMethod(), request);
  }

  /** Deletes a run in any state, with all that it holds, for good. */
  public DeleteRunResponse deleteRun(DeleteRunRequest request) {
    return calls.unary(RunIndexGrpc.getDeleteRunMethod(), request);
  }

  /** Lists the runs of one state. */
  public Pages<QueryRunsByStateResponse, Run> queryRunsByState(QueryRunsByStateRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunIndexGrpc.getQueryRunsByStateMethod(),
                request.toBuilder().setPageToken(token).build()),
        QueryRunsByStateResponse::getRunsList,
        QueryRunsByStateResponse::getNextPageToken);
  }

  /** Lists the runs that carry a tag, compared exactly. */
  public Pages<QueryRunsByTagResponse, Run> queryRunsByTag(QueryRunsByTagRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunIndexGrpc.getQueryRunsByTagMethod(),
                request.toBuilder().setPageToken(token).build()),
        QueryRunsByTagResponse::getRunsList,
        QueryRunsByTagResponse::getNextPageToken);
  }

  /** Counts runs exactly, in total and by state, at the same cost however many there are. */
  public CountRunsResponse countRuns(CountRunsRequest request) {
    return calls.unary(RunIndexGrpc.getCountRunsMethod(), request);
  }

  /**
   * Searches runs by id, state, tags, metadata keys and values, and error text; never by the data
   * that they hold.
   */
  public Pages<SearchRunsResponse, Run> searchRuns(SearchRunsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunIndexGrpc.getSearchRunsMethod(),
                request.toBuilder().setPageToken(token).build()),
        SearchRunsResponse::getRunsList,
        SearchRunsResponse::getNextPageToken);
  }

  /** Adds tags to a run, after those that it has. */
  public AddRunTagsResponse addRunTags(AddRunTagsRequest request) {
    return calls.unary(RunIndexGrpc.getAddRunTagsMethod(), request);
  }

  /** Removes tags from a run; the others keep their order. */
  public RemoveRunTagsResponse removeRunTags(RemoveRunTagsRequest request) {
    return calls.unary(RunIndexGrpc.getRemoveRunTagsMethod(), request);
  }

  /** Returns a run's tags, in the order in which they were added. */
  public GetRunTagsResponse getRunTags(GetRunTagsRequest request) {
    return calls.unary(RunIndexGrpc.getGetRunTagsMethod(), request);
  }

  /** Creates a run under a parent, which may be in any state: ACTIVE, version 1. */
  public CreateChildRunResponse createChildRun(CreateChildRunRequest request) {
    return calls.unary(RunIndexGrpc.getCreateChildRunMethod(), request);
  }

  /**
   * Lists the direct children of an id, also of one that was deleted; an id without children, known
   * or not, gives an empty list.
   */
  public Pages<GetChildRunsResponse, Run> getChildRuns(GetChildRunsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunIndexGrpc.getGetChildRunsMethod(),
                request.toBuilder().setPageToken(token).build()),
        GetChildRunsResponse::getRunsList,
        GetChildRunsResponse::getNextPageToken);
  }

  /** Returns the id of a run's parent, also when that run was deleted since. */
  public GetParentRunResponse getParentRun(GetParentRunRequest request) {
    return calls.unary(RunIndexGrpc.getGetParentRunMethod(), request);
  }

  /** Sets what is kept of a run, in any state, ARCHIVED included; the state stays. */
  public SetRunRetentionResponse setRunRetention(SetRunRetentionRequest request) {
    return calls.unary(RunIndexGrpc.getSetRunRetentionMethod(), request);
  }

  /** Returns a run's own retention policy: {@code keep_all} when none was set. */
  public GetRunRetentionResponse getRunRetention(GetRunRetentionRequest request) {
    return calls.unary(RunIndexGrpc.getGetRunRetentionMethod(), request);
  }

  private static ListRunsRequest pageOf(ListRunsRequest request, String token) {
    // The first page is the caller's request; those after it go on behind what it skipped.
    return token.equals(request.getPageToken())
        ? request
        : request.toBuilder().setPageToken(token).clearSkip().build();
  }
}
