package io.runindex;

import io.runindex.v1.AppendEventsRequest;
import io.runindex.v1.AppendEventsResponse;
import io.runindex.v1.CompareAndSetStateRequest;
import io.runindex.v1.CompareAndSetStateResponse;
import io.runindex.v1.CountEventsRequest;
import io.runindex.v1.CountEventsResponse;
import io.runindex.v1.DeleteDocumentRequest;
import io.runindex.v1.DeleteDocumentResponse;
import io.runindex.v1.DeleteValueRequest;
import io.runindex.v1.DeleteValueResponse;
import io.runindex.v1.Document;
import io.runindex.v1.Event;
import io.runindex.v1.GetDocumentRequest;
import io.runindex.v1.GetDocumentResponse;
import io.runindex.v1.GetStateRequest;
import io.runindex.v1.GetStateResponse;
import io.runindex.v1.GetValueHistoryRequest;
import io.runindex.v1.GetValueHistoryResponse;
import io.runindex.v1.GetValueRequest;
import io.runindex.v1.GetValueResponse;
import io.runindex.v1.KeyValue;
import io.runindex.v1.ListDocumentsRequest;
import io.runindex.v1.ListDocumentsResponse;
import io.runindex.v1.ListStatesRequest;
import io.runindex.v1.ListStatesResponse;
import io.runindex.v1.ListValuesRequest;
import io.runindex.v1.ListValuesResponse;
import io.runindex.v1.MergeDocumentRequest;
import io.runindex.v1.MergeDocumentResponse;
import io.runindex.v1.PutValueRequest;
import io.runindex.v1.PutValueResponse;
import io.runindex.v1.ReadEventsRequest;
import io.runindex.v1.ReadEventsResponse;
import io.runindex.v1.RunDataGrpc;
import io.runindex.v1.SetDocumentRequest;
import io.runindex.v1.SetDocumentResponse;
import io.runindex.v1.SetStateRequest;
import io.runindex.v1.SetStateResponse;
import io.runindex.v1.StateCell;

/**
 * What runs hold: values under keys, events in streams, state cells, JSON documents.
 *
 * <p>One method for each RPC of the service {@code RunData}: what it means, and how it is refused,
 * is told in the contract and in the comments of the generated stubs. Refusals are thrown as {@link
 * RunIndexException}.
 */
public final class Data {
  private final Calls calls;

  Data(Calls calls) {
    this.calls = calls;
  }

  /** Writes a value under a key. */
  public PutValueResponse putValue(PutValueRequest request) {
    return calls.unary(RunDataGrpc.getPutValueMethod(), request);
  }

  /** Returns the value under a key, or one of its earlier versions. */
  public GetValueResponse getValue(GetValueRequest request) {
    return calls.unary(RunDataGrpc.getGetValueMethod(), request);
  }

  /** Deletes the value under a key, by a version of its own. */
  public DeleteValueResponse deleteValue(DeleteValueRequest request) {
    return calls.unary(RunDataGrpc.getDeleteValueMethod(), request);
  }

  /** Lists the keys that hold a value, with the values or without. */
  public Pages<ListValuesResponse, KeyValue> listValues(ListValuesRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunDataGrpc.getListValuesMethod(), request.toBuilder().setPageToken(token).build()),
        ListValuesResponse::getItemsList,
        ListValuesResponse::getNextPageToken);
  }

  /** Lists the kept versions of a key, deletions among them, newest first. */
  public Pages<GetValueHistoryResponse, KeyValue> getValueHistory(GetValueHistoryRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunDataGrpc.getGetValueHistoryMethod(),
                request.toBuilder().setPageToken(token).build()),
        GetValueHistoryResponse::getItemsList,
        GetValueHistoryResponse::getNextPageToken);
  }

  /** Appends events to streams, all or none. */
  public AppendEventsResponse appendEvents(AppendEventsRequest request) {
    return calls.unary(RunDataGrpc.getAppendEventsMethod(), request);
  }

  /** Reads the events of a stream or of the whole run, forwards or backwards. */
  public Pages<ReadEventsResponse, Event> readEvents(ReadEventsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunDataGrpc.getReadEventsMethod(), request.toBuilder().setPageToken(token).build()),
        ReadEventsResponse::getEventsList,
        ReadEventsResponse::getNextPageToken);
  }

  /**
   * Counts the events of a stream or of the whole run exactly, at the same cost however many there
   * are.
   */
  public CountEventsResponse countEvents(CountEventsRequest request) {
    return calls.unary(RunDataGrpc.getCountEventsMethod(), request);
  }

  /** Sets a state cell. */
  public SetStateResponse setState(SetStateRequest request) {
    return calls.unary(RunDataGrpc.getSetStateMethod(), request);
  }

  /** Returns a state cell, or one of its earlier versions. */
  public GetStateResponse getState(GetStateRequest request) {
    return calls.unary(RunDataGrpc.getGetStateMethod(), request);
  }

  /** Sets a state cell only while it holds the expected value. */
  public CompareAndSetStateResponse compareAndSetState(CompareAndSetStateRequest request) {
    return calls.unary(RunDataGrpc.getCompareAndSetStateMethod(), request);
  }

  /** Lists state cells, with their values or without. */
  public Pages<ListStatesResponse, StateCell> listStates(ListStatesRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunDataGrpc.getListStatesMethod(), request.toBuilder().setPageToken(token).build()),
        ListStatesResponse::getItemsList,
        ListStatesResponse::getNextPageToken);
  }

  /**
   * Writes a document, or a place in it: a member of an object is set or added, an element of an
   * array replaced; the index {@code -} appends.
   */
  public SetDocumentResponse setDocument(SetDocumentRequest request) {
    return calls.unary(RunDataGrpc.getSetDocumentMethod(), request);
  }

  /** Returns a document, a place in it, or either in one of its earlier versions. */
  public GetDocumentResponse getDocument(GetDocumentRequest request) {
    return calls.unary(RunDataGrpc.getGetDocumentMethod(), request);
  }

  /**
   * Merges a patch into a document by RFC 7396: a null removes its member, an object is merged into
   * what is there, anything else replaces.
   */
  public MergeDocumentResponse mergeDocument(MergeDocumentRequest request) {
    return calls.unary(RunDataGrpc.getMergeDocumentMethod(), request);
  }

  /** Deletes a document, or a member or element of it; the elements behind it move up. */
  public DeleteDocumentResponse deleteDocument(DeleteDocumentRequest request) {
    return calls.unary(RunDataGrpc.getDeleteDocumentMethod(), request);
  }

  /** Lists documents, with their values or without. */
  public Pages<ListDocumentsResponse, Document> listDocuments(ListDocumentsRequest request) {
    return new Pages<>(
        request.getPageToken(),
        token ->
            calls.unary(
                RunDataGrpc.getListDocumentsMethod(),
                request.toBuilder().setPageToken(token).build()),
        ListDocumentsResponse::getItemsList,
        ListDocumentsResponse::getNextPageToken);
  }
}
