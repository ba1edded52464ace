package io.runindex;

import io.runindex.v1.CloneRunRequest;
import io.runindex.v1.CloneRunResponse;
import io.runindex.v1.CreateRunFromTemplateRequest;
import io.runindex.v1.CreateRunFromTemplateResponse;
import io.runindex.v1.DeleteTemplateRequest;
import io.runindex.v1.DeleteTemplateResponse;
import io.runindex.v1.GetTemplateRequest;
import io.runindex.v1.GetTemplateResponse;
import io.runindex.v1.ListTemplatesRequest;
import io.runindex.v1.ListTemplatesResponse;
import io.runindex.v1.PutTemplateRequest;
import io.runindex.v1.PutTemplateResponse;
import io.runindex.v1.RunTemplate;
import io.runindex.v1.RunTemplatesGrpc;

/**
 * Templates of runs, and copies of runs.
 *
 * <p>One method for each RPC of the service {@code RunTemplates}: what it means, and how it is
 * refused, is told in the contract and in the comments of the generated stubs. Refusals are thrown
 * as {@link RunIndexException}.
 */
public final class Templates {
  private final Calls calls;

  Templates(Calls calls) {
    this.calls = calls;
  }

  /** Writes a template: creates it, or replaces it whole. */
  public PutTemplateResponse putTemplate(PutTemplateRequest request) {
    return calls.unary(RunTemplatesGrpc.getPutTemplateMethod(), request);
  }

  /** Returns a template. */
  public GetTemplateResponse getTemplate(GetTemplateRequest request) {
    return calls.unary(RunTemplatesGrpc.getGetTemplateMethod(), request);
  }

  /** Lists templates. */
  public Pages<ListTemplatesResponse, RunTemplate> listTemplates(ListTemplatesRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunTemplatesGrpc.getListTemplatesMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListTemplatesResponse::getTemplatesList,
        ListTemplatesResponse::getNextPageToken);
  }

  /** Deletes a template. */
  public DeleteTemplateResponse deleteTemplate(DeleteTemplateRequest request) {
    return calls.unary(RunTemplatesGrpc.getDeleteTemplateMethod(), request);
  }

  /**
   * Creates a run from a template: ACTIVE, version 1, with the template's metadata into which the
   * request's is merged, the tags of both, the template's first, and the template's retention
   * policy unless the request names one.
   */
  public CreateRunFromTemplateResponse createRunFromTemplate(CreateRunFromTemplateRequest request) {
    return calls.unary(RunTemplatesGrpc.getCreateRunFromTemplateMethod(), request);
  }

  /**
   * Copies a run in any state to a new one: ACTIVE, version 1, with the tags of the source, its
   * metadata into which the request's is merged, and its own retention policy.
   */
  public CloneRunResponse cloneRun(CloneRunRequest request) {
    return calls.unary(RunTemplatesGrpc.getCloneRunMethod(), request);
  }
}
