// Records a run with a run inside, what the inner one holds, and how both ended; then shows a
// refusal. The server is at RUNINDEX_ADDRESS, or localhost:50051.
import {
  RunIndexClient,
  RunIndexError,
  RunState,
  durationMs,
  fromDataValue,
  toDataValue,
} from "@runindex/client";

const client = new RunIndexClient();

const { run } = await client.runIndex.createRun({ tags: ["nightly"], metadata: { model: "gpt-4o" } });
if (!run) throw new Error("A created run is always answered.");
const { run: step } = await client.runIndex.createChildRun({ parentRunId: run.runId, tags: ["step"] });
if (!step) throw new Error("A created run is always answered.");

const runId = step.runId;
await client.runData.putValue({ runId, key: "prompt", value: toDataValue({ text: "hello" }) });
await client.runData.appendEvents({
  runId,
  events: [
    { stream: "log", value: toDataValue("it began") },
    { stream: "log", value: toDataValue("it ended") },
  ],
});
await client.runIndex.closeRun({ runId, expectedVersion: step.version });
await client.runIndex.closeRun({ runId: run.runId });

console.log(`run ${run.runId}`);
for await (const child of client.childRuns({ runId: run.runId })) {
  const tookMs = child.duration && durationMs(child.duration);
  console.log(`  child ${child.runId}: ${RunState[child.state]}, ${tookMs} ms`);
  for await (const event of client.events({ runId: child.runId, stream: "log" })) {
    console.log(`    event ${event.sequence}: ${fromDataValue(event.value)}`);
  }
}

try {
  await client.runIndex.pauseRun({ runId: run.runId });
} catch (error) {
  if (!(error instanceof RunIndexError)) throw error;
  console.log(`${error.reason}: ${error.message} Allowed: ${error.metadata["allowedStates"]}.`);
}

client.close();
