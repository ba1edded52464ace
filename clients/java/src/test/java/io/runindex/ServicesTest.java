package io.runindex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Duration;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.runindex.v1.*;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every method of every service, against a real server. */
class ServicesTest {
  private static Server server;
  private static RunIndexClient client;

  @BeforeAll
  static void connect(@TempDir Path folder) {
    server = Server.start(folder);
    client = new RunIndexClient.Builder(Map.of()).address(server.address()).build();
  }

  @AfterAll
  static void disconnect() {
    client.close();
    server.close();
  }

  private static Run create(String... tags) {
    CreateRunRequest request = CreateRunRequest.newBuilder().addAllTags(List.of(tags)).build();
    return client.runs().createRun(request).getRun();
  }

  private static Run get(String runId) {
    return client.runs().getRun(GetRunRequest.newBuilder().setRunId(runId).build()).getRun();
  }

  private static List<String> ids(Iterable<Run> runs) {
    List<String> ids = new ArrayList<>();
    runs.forEach(run -> ids.add(run.getRunId()));
    return ids;
  }

  static Stream<Arguments> services() {
    return Stream.of(
        Arguments.of(Runs.class, RunIndexGrpc.getServiceDescriptor()),
        Arguments.of(Data.class, RunDataGrpc.getServiceDescriptor()),
        Arguments.of(Insights.class, RunInsightsGrpc.getServiceDescriptor()),
        Arguments.of(Templates.class, RunTemplatesGrpc.getServiceDescriptor()),
        Arguments.of(Maintenance.class, MaintenanceGrpc.getServiceDescriptor()));
  }

  @ParameterizedTest
  @MethodSource("services")
  void everyMethodOfTheContractCanBeCalled(Class<?> type, io.grpc.ServiceDescriptor service) {
    Set<String> called =
        Arrays.stream(type.getDeclaredMethods())
            .filter(method -> Modifier.isPublic(method.getModifiers()))
            .map(Method::getName)
            .collect(Collectors.toSet());
    Set<String> told =
        service.getMethods().stream()
            .map(method -> method.getBareMethodName())
            .map(name -> Character.toLowerCase(name.charAt(0)) + name.substring(1))
            .collect(Collectors.toSet());

    assertEquals(told, called);
  }

  @Test
  void aRunWithAChildAndItsData() {
    Runs runs = client.runs();
    Run root = create("nested");
    CreateChildRunRequest asked =
        CreateChildRunRequest.newBuilder()
            .setParentRunId(root.getRunId())
            .setMetadata(Json.struct(Map.of("model", "gpt-4o")))
            .build();
    Run child = runs.createChildRun(asked).getRun();
    runs.closeRun(CloseRunRequest.newBuilder().setRunId(child.getRunId()).build());
    FailRunRequest failure =
        FailRunRequest.newBuilder().setRunId(root.getRunId()).setError("no space").build();
    runs.failRun(failure);

    assertEquals(RunState.RUN_STATE_FAILED, get(root.getRunId()).getState());
    assertEquals("no space", get(root.getRunId()).getError());
    assertEquals(RunState.RUN_STATE_COMPLETED, get(child.getRunId()).getState());
    assertEquals(Map.of("model", "gpt-4o"), Json.map(get(child.getRunId()).getMetadata()));
    assertEquals(
        List.of(child.getRunId()),
        ids(runs.getChildRuns(GetChildRunsRequest.newBuilder().setRunId(root.getRunId()).build())));
    GetParentRunRequest parent =
        GetParentRunRequest.newBuilder().setRunId(child.getRunId()).build();
    assertEquals(root.getRunId(), runs.getParentRun(parent).getParentRunId());
  }

  @Test
  void theOtherMethodsOfTheIndex() {
    Runs runs = client.runs();
    String id = create("others").getRunId();
    runs.pauseRun(PauseRunRequest.newBuilder().setRunId(id).build());
    runs.resumeRun(ResumeRunRequest.newBuilder().setRunId(id).build());
    runs.addRunTags(AddRunTagsRequest.newBuilder().setRunId(id).addTags("a").addTags("b").build());
    runs.removeRunTags(RemoveRunTagsRequest.newBuilder().setRunId(id).addTags("a").build());
    runs.updateRunMetadata(
        UpdateRunMetadataRequest.newBuilder()
            .setRunId(id)
            .setMetadata(Json.struct(Map.of("word", "quokka")))
            .build());
    RetentionPolicy policy = RetentionPolicy.newBuilder().setKeepLatestN(3).build();
    runs.setRunRetention(
        SetRunRetentionRequest.newBuilder().setRunId(id).setPolicy(policy).build());

    assertEquals(
        List.of("others", "b"),
        runs.getRunTags(GetRunTagsRequest.newBuilder().setRunId(id).build()).getTagsList());
    assertEquals(
        policy,
        runs.getRunRetention(GetRunRetentionRequest.newBuilder().setRunId(id).build()).getPolicy());
    assertEquals(
        List.of(id),
        ids(runs.searchRuns(SearchRunsRequest.newBuilder().setQuery("quokka").build())));
    CountRunsRequest all = CountRunsRequest.newBuilder().setIncludeArchived(true).build();
    assertTrue(runs.countRuns(all).getCount() >= 2);

    runs.cancelRun(CancelRunRequest.newBuilder().setRunId(id).build());
    runs.archiveRun(ArchiveRunRequest.newBuilder().setRunId(id).build());
    QueryRunsByStateRequest archived =
        QueryRunsByStateRequest.newBuilder().setState(RunState.RUN_STATE_ARCHIVED).build();
    assertTrue(ids(runs.queryRunsByState(archived)).contains(id));
    runs.deleteRun(DeleteRunRequest.newBuilder().setRunId(id).build());
    assertFalse(runs.runExists(RunExistsRequest.newBuilder().setRunId(id).build()).getExists());
  }

  @Test
  void whatARunHolds() {
    Data data = client.data();
    String id = create("data").getRunId();
    for (int version = 1; version <= 3; version++) {
      PutValueRequest put =
          PutValueRequest.newBuilder()
              .setRunId(id)
              .setKey("k")
              .setValue(Json.data(version))
              .build();
      assertEquals(version, data.putValue(put).getVersion());
    }
    data.putValue(
        PutValueRequest.newBuilder()
            .setRunId(id)
            .setKey("l")
            .setValue(Json.data(new byte[1]))
            .build());
    GetValueRequest get = GetValueRequest.newBuilder().setRunId(id).setKey("k").build();
    assertEquals(Json.data(3), data.getValue(get).getItem().getValue());
    assertEquals(
        List.of("k", "l"),
        data.listValues(ListValuesRequest.newBuilder().setRunId(id).setPageSize(1).build()).stream()
            .map(KeyValue::getKey)
            .toList());
    assertEquals(
        List.of(3L, 2L, 1L),
        data
            .getValueHistory(
                GetValueHistoryRequest.newBuilder().setRunId(id).setKey("k").setPageSize(1).build())
            .stream()
            .map(KeyValue::getVersion)
            .toList());
    data.deleteValue(DeleteValueRequest.newBuilder().setRunId(id).setKey("k").build());
    assertTrue(
        assertThrows(RunIndexException.class, () -> data.getValue(get))
            .is(ErrorReason.ERROR_REASON_VALUE_NOT_FOUND));

    AppendEventsRequest.Builder events = AppendEventsRequest.newBuilder().setRunId(id);
    for (int i = 0; i < 5; i++) {
      events.addEvents(EventDraft.newBuilder().setStream("log").setValue(Json.data(i)));
    }
    assertEquals(0, data.appendEvents(events.build()).getFirstSequence());
    assertEquals(
        List.of(4L, 3L, 2L, 1L, 0L),
        data
            .readEvents(
                ReadEventsRequest.newBuilder()
                    .setRunId(id)
                    .setBackwards(true)
                    .setPageSize(2)
                    .build())
            .stream()
            .map(Event::getSequence)
            .toList());
    assertEquals(
        5, data.countEvents(CountEventsRequest.newBuilder().setRunId(id).build()).getCount());

    data.setState(
        SetStateRequest.newBuilder().setRunId(id).setCell("c").setValue(Json.data("a")).build());
    data.compareAndSetState(
        CompareAndSetStateRequest.newBuilder()
            .setRunId(id)
            .setCell("c")
            .setExpected(Json.data("a"))
            .setValue(Json.data("b"))
            .build());
    GetStateRequest cell = GetStateRequest.newBuilder().setRunId(id).setCell("c").build();
    assertEquals(Json.data("b"), data.getState(cell).getItem().getValue());
    assertEquals(
        1, data.listStates(ListStatesRequest.newBuilder().setRunId(id).build()).stream().count());

    data.setDocument(
        SetDocumentRequest.newBuilder()
            .setRunId(id)
            .setDocument("d")
            .setValue(Json.value(Map.of("a", 1)))
            .build());
    data.mergeDocument(
        MergeDocumentRequest.newBuilder()
            .setRunId(id)
            .setDocument("d")
            .setPatch(Json.value(Map.of("b", 2)))
            .build());
    GetDocumentRequest document =
        GetDocumentRequest.newBuilder().setRunId(id).setDocument("d").build();
    assertEquals(
        Map.of("a", 1.0, "b", 2.0), Json.object(data.getDocument(document).getItem().getValue()));
    assertEquals(
        1,
        data.listDocuments(ListDocumentsRequest.newBuilder().setRunId(id).build()).stream()
            .count());
    data.deleteDocument(DeleteDocumentRequest.newBuilder().setRunId(id).setDocument("d").build());
  }

  @Test
  void whatRunsComeTo() {
    Insights insights = client.insights();
    String id = create("insights").getRunId();
    FailRunRequest failure = FailRunRequest.newBuilder().setRunId(id).setError("e 1").build();
    client.runs().failRun(failure);

    assertTrue(insights.getRunStats(GetRunStatsRequest.getDefaultInstance()).getCount() >= 2);
    assertEquals(
        List.of(RunState.RUN_STATE_ACTIVE, RunState.RUN_STATE_FAILED),
        insights
            .getRunHistory(GetRunHistoryRequest.newBuilder().setRunId(id).setPageSize(1).build())
            .stream()
            .map(RunTransition::getToState)
            .toList());
    assertEquals(
        id,
        insights
            .getRunTree(GetRunTreeRequest.newBuilder().setRunId(id).build())
            .getRun()
            .getRun()
            .getRunId());
    assertEquals(
        List.of("insights"),
        insights.listTags(ListTagsRequest.newBuilder().setPrefix("insights").build()).stream()
            .map(TagCount::getTag)
            .toList());
    assertTrue(
        insights.listErrors(ListErrorsRequest.newBuilder().setPageSize(1).build()).stream()
            .anyMatch(group -> group.getError().equals("e <n>")));
    Duration hour = Duration.newBuilder().setSeconds(3600).build();
    assertEquals(
        0,
        insights.listStaleRuns(ListStaleRunsRequest.newBuilder().setIdleFor(hour).build()).stream()
            .count());
  }

  @Test
  void templatesAndCopies() {
    Templates templates = client.templates();
    for (String name : List.of("t1", "t2", "t3")) {
      templates.putTemplate(
          PutTemplateRequest.newBuilder().setName(name).addTags("from-" + name).build());
    }
    GetTemplateRequest get = GetTemplateRequest.newBuilder().setName("t1").build();
    assertEquals(List.of("from-t1"), templates.getTemplate(get).getTemplate().getTagsList());
    assertEquals(
        List.of("t1", "t2", "t3"),
        templates.listTemplates(ListTemplatesRequest.newBuilder().setPageSize(2).build()).stream()
            .map(RunTemplate::getName)
            .toList());
    CreateRunFromTemplateRequest use =
        CreateRunFromTemplateRequest.newBuilder().setName("t1").build();
    String id = templates.createRunFromTemplate(use).getRunId();
    CloneRunRequest clone = CloneRunRequest.newBuilder().setRunId(id).build();
    assertEquals(id, get(templates.cloneRun(clone).getRunId()).getClonedFrom());
    templates.deleteTemplate(DeleteTemplateRequest.newBuilder().setName("t1").build());
    assertTrue(
        assertThrows(RunIndexException.class, () -> templates.getTemplate(get))
            .is(ErrorReason.ERROR_REASON_TEMPLATE_NOT_FOUND));
  }

  @Test
  void upkeep() {
    Maintenance maintenance = client.maintenance();
    GetStatusResponse status = maintenance.getStatus(GetStatusRequest.getDefaultInstance());
    assertFalse(status.getStore().getStoreId().isEmpty());
    List<CompactResponse> compaction = new ArrayList<>();
    maintenance
        .compact(CompactRequest.newBuilder().setDryRun(true).build())
        .forEachRemaining(compaction::add);
    assertTrue(compaction.get(compaction.size() - 1).hasSummary());
    List<VerifyResponse> verification = new ArrayList<>();
    maintenance.verify(VerifyRequest.getDefaultInstance()).forEachRemaining(verification::add);
    assertEquals(0, verification.get(verification.size() - 1).getSummary().getDrifts());
    List<BackupResponse> backup = new ArrayList<>();
    maintenance.backup(BackupRequest.getDefaultInstance()).forEachRemaining(backup::add);
    assertTrue(backup.get(0).hasHeader());
    assertTrue(backup.get(backup.size() - 1).hasTrailer());
  }

  @Test
  void collectionsPageByThemselves() {
    Runs runs = client.runs();
    List<String> created =
        IntStream.range(0, 7).mapToObj(index -> create("paged").getRunId()).toList();
    List<String> newestFirst = new ArrayList<>(created);
    java.util.Collections.reverse(newestFirst);
    Pages<QueryRunsByTagResponse, Run> paged =
        runs.queryRunsByTag(
            QueryRunsByTagRequest.newBuilder().setTag("paged").setPageSize(3).build());

    assertEquals(newestFirst, ids(paged));
    assertEquals(newestFirst, ids(paged), "it can be iterated again");
    assertEquals(newestFirst.subList(0, 4), ids(paged.stream().limit(4)::iterator));
    List<Integer> sizes = new ArrayList<>();
    paged.pages().forEach(page -> sizes.add(page.getRunsCount()));
    assertEquals(List.of(3, 3, 1), sizes);

    QueryRunsByTagRequest rest =
        QueryRunsByTagRequest.newBuilder()
            .setTag("paged")
            .setPageToken(paged.firstPage().getNextPageToken())
            .build();
    assertEquals(newestFirst.subList(3, 7), ids(runs.queryRunsByTag(rest)));
    assertEquals(
        0,
        runs.queryRunsByTag(QueryRunsByTagRequest.newBuilder().setTag("nobody").build()).stream()
            .count());
  }

  @Test
  void aSkipIsMadeOnce() {
    List<String> all = ids(client.runs().listRuns(ListRunsRequest.getDefaultInstance()));
    create();
    create();
    ListRunsRequest skipping = ListRunsRequest.newBuilder().setSkip(2).setPageSize(1).build();

    assertEquals(all, ids(client.runs().listRuns(skipping)));
  }

  @Test
  void aSkipBesideATokenIsTheServersToRefuse() {
    create();
    ListRunsRequest request = ListRunsRequest.newBuilder().setPageSize(1).build();
    String token = client.runs().listRuns(request).firstPage().getNextPageToken();
    ListRunsRequest both = request.toBuilder().setPageToken(token).setSkip(1).build();

    RunIndexException refusal =
        assertThrows(RunIndexException.class, () -> ids(client.runs().listRuns(both)));
    assertEquals("skip", refusal.metadata().get("field"));
  }

  @Test
  void pagesAreAskedForWhenTheyAreNeeded() {
    ListRunsRequest refused = ListRunsRequest.newBuilder().setPageSize(-1).build();
    Pages<ListRunsResponse, Run> pages = client.runs().listRuns(refused);

    RunIndexException refusal =
        assertThrows(RunIndexException.class, () -> pages.iterator().hasNext());
    assertTrue(refusal.is(ErrorReason.ERROR_REASON_INVALID_PAGE_SIZE));
    assertEquals("page_size", refusal.fieldViolations().get(0).getField());
  }

  @Test
  void refusalsCarryTheirReason() {
    String id = create().getRunId();
    CloseRunRequest close = CloseRunRequest.newBuilder().setRunId(id).build();
    client.runs().closeRun(close);
    RunIndexException refusal =
        assertThrows(RunIndexException.class, () -> client.runs().closeRun(close));

    assertEquals(Status.Code.FAILED_PRECONDITION, refusal.code());
    assertEquals("INVALID_STATE_TRANSITION", refusal.reason());
    assertTrue(refusal.is(ErrorReason.ERROR_REASON_INVALID_STATE_TRANSITION));
    assertEquals(id, refusal.metadata().get("runId"));
    assertEquals("RUN_STATE_ARCHIVED", refusal.metadata().get("allowedStates"));
    assertTrue(refusal.getMessage().startsWith("INVALID_STATE_TRANSITION, FAILED_PRECONDITION: "));
  }

  @Test
  void stubsOfOtherKindsUseTheSameChannel() {
    RunIndexGrpc.RunIndexBlockingStub stub = RunIndexGrpc.newBlockingStub(client.channel());
    GetRunRequest missing =
        GetRunRequest.newBuilder().setRunId("00000000-0000-4000-8000-000000000000").build();
    StatusRuntimeException thrown =
        assertThrows(StatusRuntimeException.class, () -> stub.getRun(missing));

    assertEquals("RUN_NOT_FOUND", RunIndexException.from(thrown).reason());
  }
}
