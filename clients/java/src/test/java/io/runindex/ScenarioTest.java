package io.runindex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What runs the conformance suite fails where it should. Texts are in single quotes, for JSON's.
 */
class ScenarioTest {
  private static final String CALL = "'call': 'runindex.v1.RunIndex/GetRun'";
  private static final String CREATE = "'call': 'runindex.v1.RunIndex/CreateRun', 'response': {}";
  private static final String DOLLAR =
      "'call': 'runindex.v1.RunIndex/CreateRun', 'request': {'tags': ['$$a']}";
  private static final String GET = CALL + ", 'request': {'runId': 'default'}";
  private static final String MISSING =
      CALL + ", 'request': {'runId': '00000000-0000-4000-8000-000000000000'}";
  private static final String LIST =
      "'each': 'runindex.v1.RunInsights/GetRunHistory', 'request': {'runId': 'default'}";
  private static final String REFUSED =
      "'each': 'runindex.v1.RunIndex/ListRuns', 'request': {'pageSize': -1}";
  private static final String STREAM = "'stream': 'runindex.v1.Maintenance/Verify'";
  private static final String BROKEN =
      "'stream': 'runindex.v1.Maintenance/Compact',"
          + " 'request': {'dryRun': true, 'trustClock': true}";

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

  @Test
  void aFolderWithoutScenariosIsNoSuiteAndABrokenOneIsTold(@TempDir Path folder) throws Exception {
    assertThrows(AssertionError.class, () -> Scenario.readAll(folder));
    Files.writeString(folder.resolve("broken.json"), "{\"about\": \"No steps.\", \"steps\": []}");
    AssertionError fault = assertThrows(AssertionError.class, () -> Scenario.readAll(folder));
    assertEquals("broken.json: steps are missing", fault.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "[]",
        "{'steps': [{'call': 'runindex.v1.RunIndex/GetRun', 'response': {}}]}",
        "{'about': 'a'}",
        "{'about': 'a', 'steps': []}",
        "{'about': 'a', 'title': 'a', 'steps': [{'call': 'a/b', 'response': {}}]}",
        "{'about': 'a', 'steps': [{'call': 'a/b', 'response': {}}]} {}",
      })
  void whatIsNoScenarioIsRefused(String text) {
    assertThrows(AssertionError.class, () -> Scenario.parse(quoted(text)));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "'response': {}",
        CALL,
        CALL + ", 'response': null",
        CALL + ", 'response': []",
        CALL + ", 'response': {}, 'wait': 1",
        CALL + ", 'response': {}, 'request': []",
        CALL + ", 'response': {}, " + STREAM,
        CALL + ", 'response': {}, 'error': {'code': 'ABORTED'}",
        CALL + ", 'items': []",
        CALL + ", 'responses': []",
        "'each': 'runindex.v1.RunIndex/ListRuns', 'response': {}",
        STREAM + ", 'items': []",
        "'each': 'runindex.v1.RunIndex/ListRuns', 'items': [], 'keep': {'run': '0.runId'}",
        CALL + ", 'error': {'code': 'ABORTED'}, 'keep': {'run': 'run.runId'}",
        CALL + ", 'response': {}, 'keep': {'a run': 'run.runId'}",
        CALL + ", 'response': {}, 'keep': {'run': 1}",
        CALL + ", 'error': {}",
        CALL + ", 'error': {'code': 'OK'}",
        CALL + ", 'error': {'code': 'Aborted'}",
        CALL + ", 'error': {'code': 'ABORTED', 'message': 'no'}",
        CALL + ", 'error': {'code': 'ABORTED', 'metadata': {'currentVersion': 2}}",
      })
  void whatIsNoStepIsRefused(String members) {
    AssertionError fault = assertThrows(AssertionError.class, () -> scenario("{" + members + "}"));
    assertTrue(fault.getMessage().startsWith("step 1: "), fault.getMessage());
  }

  // What is expected, what came, and what is told of it: nothing where it is the same.
  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      quoteCharacter = '`',
      textBlock =
          """
          'a'; 'a';
          'a'; 'b'; r: expected 'a', got 'b'
          1; 1.0;
          1; 1.5; r: expected 1, got 1.5
          1; '1'; r: expected 1, got '1'
          '1'; 1; r: expected '1', got 1
          0; false; r: expected 0, got false
          true; true;
          true; false; r: expected true, got false
          ''; null; r: expected '', got null
          null; null;
          null; 0; r: expected null, got 0
          {}; {'a': 1};
          {}; null; r: expected {}, got null
          {}; []; r: expected {}, got []
          {'a': 1}; {'a': 1, 'b': 2};
          {'a': 1}; {'a': 2}; r.a: expected 1, got 2
          {'a': 1}; {}; r.a: expected 1, got nothing
          {'a': {}}; {}; r.a: expected {}, got nothing
          {'a': null}; {};
          {'a': null}; {'a': null};
          {'a': null}; {'a': ''}; r.a: expected null, got ''
          {'a': {'b': [0, {'c': 1}]}}; {'a': {'b': [0, {'c': 2}]}}; r.a.b.1.c: expected 1, got 2
          {'a': 1, 'b': 2}; {'a': 0, 'b': 0}; r.a: expected 1, got 0 | r.b: expected 2, got 0
          []; [];
          []; [1]; r: expected [], got [1]
          [1, 2]; [1]; r: expected [1,2], got [1]
          [1, 2]; [2, 1]; r.0: expected 1, got 2 | r.1: expected 2, got 1
          [null]; [null];
          [null]; [0]; r.0: expected null, got 0
          []; {}; r: expected [], got {}
          """)
  void whatCameIsCompared(String expected, String came, String told) {
    String fault = null;
    try {
      Expectation.compare(
          "r", JsonParser.parseString(quoted(expected)), JsonParser.parseString(quoted(came)));
    } catch (AssertionError mismatch) {
      fault = String.join(" | ", mismatch.getMessage().lines().toList());
    }
    assertEquals(told == null ? null : quoted(told), fault);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{" + GET + ", 'response': {'run': {'runId': 'default', 'endTime': null}}}",
        "{" + MISSING + ", 'error': {'code': 'NOT_FOUND', 'reason': 'RUN_NOT_FOUND'}}",
        "{" + LIST + ", 'items': [{'toState': 'RUN_STATE_ACTIVE'}]}",
        "{" + REFUSED + ", 'error': {'code': 'INVALID_ARGUMENT', 'reason': 'INVALID_PAGE_SIZE'}}",
        "{" + STREAM + ", 'responses': [{'summary': null}, {'summary': {'drifts': '0'}}]}",
        "{" + BROKEN + ", 'error': {'code': 'INVALID_ARGUMENT', 'reason': 'INVALID_FIELD'}}",
        "{" + DOLLAR + ", 'response': {'run': {'tags': ['$$a']}}}",
        "{"
            + GET
            + ", 'response': {}, 'keep': {'run': 'run.runId'}},"
            + " {"
            + GET
            + ", 'response': {'run': {'runId': '$run'}}}",
      })
  void whatHoldsIsPassedOver(String steps) {
    scenario(steps).run(client);
  }

  static Stream<Arguments> faults() {
    String get = "1, runindex.v1.RunIndex/GetRun: ";
    String list = "1, runindex.v1.RunInsights/GetRunHistory: ";
    String refused = "1, runindex.v1.RunIndex/ListRuns: ";
    String create = "1, runindex.v1.RunIndex/CreateRun: ";
    String verify = "1, runindex.v1.Maintenance/Verify: ";
    String gotError = "expected no error, got {'code':";
    String another = "the method is of another kind";
    String noMethod = "the client has no such method";
    return Stream.of(
        Arguments.of(
            "{" + GET + ", 'response': {'run': {'version': '7'}}}",
            get + "response.run.version: expected '7', got '1'"),
        Arguments.of(
            "{" + GET + ", 'error': {'code': 'NOT_FOUND'}}",
            get + "error: expected {'code':'NOT_FOUND'}, got {"),
        Arguments.of("{" + MISSING + ", 'response': {}}", get + gotError + "'NOT_FOUND','reason'"),
        Arguments.of(
            "{" + MISSING + ", 'error': {'code': 'ABORTED'}}",
            get + "error.code: expected 'ABORTED', got 'NOT_FOUND'"),
        Arguments.of(
            "{" + MISSING + ", 'error': {'code': 'NOT_FOUND', 'reason': ''}}",
            get + "error.reason: expected '', got 'RUN_NOT_FOUND'"),
        Arguments.of(
            "{" + MISSING + ", 'error': {'code': 'NOT_FOUND', 'metadata': {'runId': 'default'}}}",
            get + "error.metadata.runId: expected 'default', got '00000000-"),
        Arguments.of(
            "{" + MISSING + ", 'error': {'code': 'NOT_FOUND', 'metadata': {'run': ''}}}",
            get + "error.metadata.run: expected '', got nothing"),
        Arguments.of("{" + LIST + ", 'items': []}", list + "items: expected [], got [{"),
        Arguments.of(
            "{" + LIST + ", 'error': {'code': 'ABORTED'}}",
            list + "error: expected {'code':'ABORTED'}, got [{"),
        Arguments.of("{" + REFUSED + ", 'items': []}", refused + gotError + "'INVALID_ARGUMENT',"),
        Arguments.of(
            "{" + STREAM + ", 'responses': []}", verify + "responses: expected [], got [{"),
        Arguments.of(
            "{" + BROKEN + ", 'responses': []}",
            "1, runindex.v1.Maintenance/Compact: " + gotError + "'INVALID_ARGUMENT',"),
        Arguments.of(
            "{'call': 'runindex.v1.Maintenance/Verify', 'response': {}}", verify + another),
        Arguments.of("{" + GET.replace("call", "stream") + ", 'responses': []}", get + another),
        Arguments.of("{" + GET.replace("call", "each") + ", 'items': []}", get + another),
        Arguments.of(
            "{'call': 'runindex.v1.RunIndex/Run', 'response': {}}",
            "1, runindex.v1.RunIndex/Run: " + noMethod),
        Arguments.of(
            "{'call': 'runindex.v2.RunIndex/GetRun', 'response': {}}",
            "1, runindex.v2.RunIndex/GetRun: " + noMethod),
        Arguments.of(
            "{" + CALL + ", 'request': {'run': 'default'}, 'response': {}}", get + "request: "),
        Arguments.of(
            "{" + CALL + ", 'request': {'runId': '$run'}, 'response': {}}",
            get + "request: run was not kept"),
        Arguments.of(
            "{" + GET + ", 'response': {'run': {'tags': ['$run']}}}",
            get + "response: run was not kept"),
        Arguments.of(
            "{" + MISSING + ", 'error': {'code': 'NOT_FOUND', 'metadata': {'runId': '$run'}}}",
            get + "error: run was not kept"),
        Arguments.of(
            "{" + DOLLAR + ", 'response': {'run': {'tags': ['$$$a']}}}",
            create + "response.run.tags.0: expected '$$a', got '$a'"),
        Arguments.of(
            "{"
                + CREATE
                + ", 'keep': {'run': 'run.runId'}},"
                + " {"
                + GET
                + ", 'response': {'run': {'runId': '$run'}}}",
            "2, runindex.v1.RunIndex/GetRun: response.run.runId: expected '"),
        Arguments.of(
            "{" + CREATE + ", 'keep': {'end': 'run.endTime'}}",
            create + "keep.end: there is no run.endTime in {"),
        Arguments.of(
            "{" + CREATE + ", 'keep': {'tag': 'run.tags.0'}}",
            create + "keep.tag: there is no run.tags.0 in {"),
        Arguments.of(
            "{" + CREATE + ", 'keep': {'run': 'run'}}, {" + CREATE + ", 'keep': {'run': 'run'}}",
            "2, runindex.v1.RunIndex/CreateRun: keep: run was kept before"));
  }

  @ParameterizedTest
  @MethodSource("faults")
  void whatDoesNotHoldIsToldByItsStepPlaceAndValues(String steps, String told) {
    Scenario scenario = scenario(steps);
    String fault = assertThrows(AssertionError.class, () -> scenario.run(client)).getMessage();
    assertTrue(fault.startsWith("step " + quoted(told)), fault);
  }

  private static Scenario scenario(String steps) {
    return Scenario.parse(quoted("{'about': 'a', 'steps': [" + steps + "]}"));
  }

  private static String quoted(String text) {
    return text.replace('\'', '"');
  }
}
