import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { RunIndexClient } from "@runindex/client";
import { readScenarios, runScenario } from "./support/scenario.js";
import { startServer } from "./support/server.js";

// This file runs as build/test/conformance.test.js.
const FOLDER = fileURLToPath(new URL("../../../conformance/scenarios", import.meta.url));

const scenarios = await readScenarios(FOLDER);

// Two at a time: a server takes a second to start.
suite("conformance", { concurrency: 2 }, () => {
  for (const [file, scenario] of scenarios) {
    test(file, async () => {
      const server = await startServer();
      const client = new RunIndexClient({ address: server.address });
      try {
        await runScenario(scenario, client).catch((error: Error) => {
          throw new Error(`${file}: ${error.message}`, { cause: error });
        });
      } finally {
        client.close();
        await server.stop();
      }
    });
  }
});
