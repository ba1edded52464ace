package io.runindex;

import io.runindex.v1.ErrorGroup;
import io.runindex.v1.GetRunHistoryRequest;
import io.runindex.v1.GetRunHistoryResponse;
import io.runindex.v1.GetRunStatsRequest;
import io.runindex.v1.GetRunStatsResponse;
import io.runindex.v1.GetRunTreeRequest;
import io.runindex.v1.GetRunTreeResponse;
import io.runindex.v1.ListErrorsRequest;
import io.runindex.v1.ListErrorsResponse;
import io.runindex.v1.ListStaleRunsRequest;
import io.runindex.v1.ListStaleRunsResponse;
import io.runindex.v1.ListTagsRequest;
import io.runindex.v1.ListTagsResponse;
import io.runindex.v1.Run;
import io.runindex.v1.RunInsightsGrpc;
import io.runindex.v1.RunTransition;
import io.runindex.v1.TagCount;

/**
 * What many runs come to: figures, histories, trees, tags, stale runs, errors.
 *
 * <p>One method for each RPC of the service {@code RunInsights}: what it means, and how it is
 * refused, is told in the contract and in the comments of the generated stubs. Refusals are thrown
 * as {@link RunIndexException}.
 */
public final class Insights {
  private final Calls calls;

  Insights(Calls calls) {
    this.calls = calls;
  }

  /**
   * Returns figures of all runs, of the runs with a tag, or of the runs that finished in each hour
   * or each day of a time.
   */
  public GetRunStatsResponse getRunStats(GetRunStatsRequest request) {
    return calls.unary(RunInsightsGrpc.getGetRunStatsMethod(), request);
  }

  /** Returns the transitions of a run, oldest first: its creation, and each change of its state. */
  public Pages<GetRunHistoryResponse, RunTransition> getRunHistory(GetRunHistoryRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunInsightsGrpc.getGetRunHistoryMethod(),
                request.toBuilder().setPageToken(token).build()),
        GetRunHistoryResponse::getTransitionsList,
        GetRunHistoryResponse::getNextPageToken);
  }

  /** Returns a run with its ancestors and its descendants, as deep and as many as are asked for. */
  public GetRunTreeResponse getRunTree(GetRunTreeRequest request) {
    return calls.unary(RunInsightsGrpc.getGetRunTreeMethod(), request);
  }

  /** Lists the tags that runs carry, each with the exact number of them. */
  public Pages<ListTagsResponse, TagCount> listTags(ListTagsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunInsightsGrpc.getListTagsMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListTagsResponse::getTagsList,
        ListTagsResponse::getNextPageToken);
  }

  /**
   * Lists the runs that have not finished and were not touched for some time, by {@code
   * activity_time}: the stalest first, those of one minute in the order of creation.
   */
  public Pages<ListStaleRunsResponse, Run> listStaleRuns(ListStaleRunsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunInsightsGrpc.getListStaleRunsMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListStaleRunsResponse::getRunsList,
        ListStaleRunsResponse::getNextPageToken);
  }

  /**
   * Lists the errors of failed runs, grouped by what they have in common: the most frequent first,
   * then the one whose newest run was created last.
   */
  public Pages<ListErrorsResponse, ErrorGroup> listErrors(ListErrorsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunInsightsGrpc.getListErrorsMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListErrorsResponse::getErrorsList,
        ListErrorsResponse::getNextPageToken);
  }
}
