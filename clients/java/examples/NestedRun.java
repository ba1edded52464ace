import io.runindex.Json;
import io.runindex.RunIndexClient;
import io.runindex.RunIndexException;
import io.runindex.v1.AppendEventsRequest;
import io.runindex.v1.CloseRunRequest;
import io.runindex.v1.CreateChildRunRequest;
import io.runindex.v1.CreateRunRequest;
import io.runindex.v1.EventDraft;
import io.runindex.v1.GetChildRunsRequest;
import io.runindex.v1.GetRunRequest;
import io.runindex.v1.PutValueRequest;
import io.runindex.v1.Run;
import java.util.Map;

/** Records a run with a child, and what the child holds; closes both; shows how a refusal looks. */
public class NestedRun {
  public static void main(String[] arguments) {
    try (RunIndexClient client = RunIndexClient.connect()) {
      Run report =
          client
              .runs()
              .createRun(
                  CreateRunRequest.newBuilder()
                      .addTags("nightly")
                      .setMetadata(Json.struct(Map.of("model", "gpt-4o", "attempt", 1)))
                      .build())
              .getRun();
      Run step =
          client
              .runs()
              .createChildRun(
                  CreateChildRunRequest.newBuilder()
                      .setParentRunId(report.getRunId())
                      .addTags("step")
                      .build())
              .getRun();

      client
          .data()
          .putValue(
              PutValueRequest.newBuilder()
                  .setRunId(step.getRunId())
                  .setKey("answer")
                  .setValue(Json.data(Map.of("text", "hello", "tokens", 2)))
                  .build());
      client
          .data()
          .appendEvents(
              AppendEventsRequest.newBuilder()
                  .setRunId(step.getRunId())
                  .addEvents(
                      EventDraft.newBuilder().setStream("log").setValue(Json.data("it began")))
                  .build());

      CloseRunRequest closeStep = CloseRunRequest.newBuilder().setRunId(step.getRunId()).build();
      client.runs().closeRun(closeStep);
      client.runs().closeRun(CloseRunRequest.newBuilder().setRunId(report.getRunId()).build());

      GetRunRequest getReport = GetRunRequest.newBuilder().setRunId(report.getRunId()).build();
      show("", client.runs().getRun(getReport).getRun());
      GetChildRunsRequest getSteps =
          GetChildRunsRequest.newBuilder().setRunId(report.getRunId()).build();
      for (Run child : client.runs().getChildRuns(getSteps)) {
        show("  ", child);
      }

      try {
        client.runs().closeRun(closeStep);
      } catch (RunIndexException refusal) {
        System.out.printf("%s: %s%n", refusal.reason(), refusal.metadata().get("fromState"));
      }
    }
  }

  private static void show(String indent, Run run) {
    System.out.printf("%s%s %s %s%n", indent, run.getRunId(), run.getState(), run.getTagsList());
  }
}
