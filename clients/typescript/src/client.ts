import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, type Transport, createClient } from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import { RunIndexError } from "./error.js";
import * as insights from "./gen/runindex/v1/insights_pb.js";
import { Maintenance } from "./gen/runindex/v1/maintenance_pb.js";
import * as data from "./gen/runindex/v1/run_data_pb.js";
import * as index from "./gen/runindex/v1/run_index_pb.js";
import * as templates from "./gen/runindex/v1/templates_pb.js";
import { bearerToken, lostConnections, mapErrors, requestIds, retries } from "./interceptors.js";
import { type RunIndexClientOptions, targetOf } from "./options.js";
import { type IterationOptions, Pages } from "./pages.js";

const TIMEOUT_MS_DEFAULT = 30_000;
// Twice what the server sends at most: 3.75 MiB of runs, and their frame.
const READ_BYTES_MAX = 8 * 1024 * 1024;
// The server allows a ping every 10 seconds.
const PING_INTERVAL_MS = 60_000;
const PING_TIMEOUT_MS = 20_000;

type Query<Schema extends DescMessage> = Exclude<MessageInitShape<Schema>, Message>;

/**
 * A client of a RunIndex server: its services as they are in the contract, and their collections as
 * async iterables. Connects with the first call. Every call ends with its answer or a RunIndexError.
 */
export class RunIndexClient {
  /** Runs: their records, lifecycle, queries, tags, hierarchy and retention. */
  readonly runIndex: Client<typeof index.RunIndex>;
  /** What runs hold: values, events, state cells and documents. */
  readonly runData: Client<typeof data.RunData>;
  /** What many runs come to: figures, histories, trees, tags, stale runs and errors. */
  readonly runInsights: Client<typeof insights.RunInsights>;
  /** Templates of runs, and copies of runs. */
  readonly runTemplates: Client<typeof templates.RunTemplates>;
  /** The storage layer, for operators. To leave the loop over a stream cuts the call off. */
  readonly maintenance: Client<typeof Maintenance>;

  readonly #sessions: Http2SessionManager;
  #isClosed = false;

  /** Throws a TypeError when the options, or the environment, make no sense. */
  constructor(options: RunIndexClientOptions = {}) {
    const { baseUrl, session, token } = targetOf(options);
    const pings = { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS };
    this.#sessions = new Http2SessionManager(baseUrl, pings, session);
    const grpc = createGrpcTransport({
      baseUrl,
      sessionManager: this.#sessions,
      readMaxBytes: READ_BYTES_MAX,
      interceptors: [
        ...(options.interceptors ?? []),
        ...(token === undefined ? [] : [bearerToken(token)]),
        requestIds(),
        ...(options.retry === false ? [] : [retries(options.retry)]),
        lostConnections(() => this.#isClosed),
      ],
    });
    const transport = withErrors(grpc, options.timeoutMs ?? TIMEOUT_MS_DEFAULT);
    this.runIndex = createClient(index.RunIndex, transport);
    this.runData = createClient(data.RunData, transport);
    this.runInsights = createClient(insights.RunInsights, transport);
    this.runTemplates = createClient(templates.RunTemplates, transport);
    const maintenance = createClient(Maintenance, transport);
    this.maintenance = {
      ...maintenance,
      compact: cutOffAtReturn(maintenance.compact),
      verify: cutOffAtReturn(maintenance.verify),
      backup: cutOffAtReturn(maintenance.backup),
    };
  }

  /** Closes the connection, for good. Calls under way, and later ones, end with CANCELED. */
  close(): void {
    this.#isClosed = true;
    this.#sessions.abort();
  }

  /** The runs of some or all states: ListRuns. */
  runs(query: Query<typeof index.ListRunsRequestSchema> = {}, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => {
        // The first page is the caller's request; those after it go on behind what it skipped.
        const skip = cursor.pageToken === (query.pageToken ?? "") ? (query.skip ?? 0) : 0;
        return this.runIndex.listRuns({ ...query, ...cursor, skip }, call);
      },
      (page) => page.runs,
      query,
      options,
    );
  }

  /** The runs of one state: QueryRunsByState. */
  runsByState(query: Query<typeof index.QueryRunsByStateRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runIndex.queryRunsByState({ ...query, ...cursor }, call),
      (page) => page.runs,
      query,
      options,
    );
  }

  /** The runs that carry a tag: QueryRunsByTag. */
  runsByTag(query: Query<typeof index.QueryRunsByTagRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runIndex.queryRunsByTag({ ...query, ...cursor }, call),
      (page) => page.runs,
      query,
      options,
    );
  }

  /** The runs that match a query: SearchRuns. Goes on where a search's budget was spent. */
  searchRuns(query: Query<typeof index.SearchRunsRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runIndex.searchRuns({ ...query, ...cursor }, call),
      (page) => page.runs,
      query,
      options,
    );
  }

  /** The children of a run: GetChildRuns. */
  childRuns(query: Query<typeof index.GetChildRunsRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runIndex.getChildRuns({ ...query, ...cursor }, call),
      (page) => page.runs,
      query,
      options,
    );
  }

  /** The keys of a run: ListValues. */
  values(query: Query<typeof data.ListValuesRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runData.listValues({ ...query, ...cursor }, call),
      (page) => page.items,
      query,
      options,
    );
  }

  /** The versions of a key: GetValueHistory. */
  valueHistory(query: Query<typeof data.GetValueHistoryRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runData.getValueHistory({ ...query, ...cursor }, call),
      (page) => page.items,
      query,
      options,
    );
  }

  /** The events of a run, or of one of its streams: ReadEvents. */
  events(query: Query<typeof data.ReadEventsRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runData.readEvents({ ...query, ...cursor }, call),
      (page) => page.events,
      query,
      options,
    );
  }

  /** The state cells of a run: ListStates. */
  states(query: Query<typeof data.ListStatesRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runData.listStates({ ...query, ...cursor }, call),
      (page) => page.items,
      query,
      options,
    );
  }

  /** The documents of a run: ListDocuments. */
  documents(query: Query<typeof data.ListDocumentsRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runData.listDocuments({ ...query, ...cursor }, call),
      (page) => page.items,
      query,
      options,
    );
  }

  /** The transitions of a run: GetRunHistory. */
  runHistory(query: Query<typeof insights.GetRunHistoryRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runInsights.getRunHistory({ ...query, ...cursor }, call),
      (page) => page.transitions,
      query,
      options,
    );
  }

  /** The tags that runs carry: ListTags. */
  tags(query: Query<typeof insights.ListTagsRequestSchema> = {}, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runInsights.listTags({ ...query, ...cursor }, call),
      (page) => page.tags,
      query,
      options,
    );
  }

  /** The runs that nobody has touched: ListStaleRuns. */
  staleRuns(query: Query<typeof insights.ListStaleRunsRequestSchema>, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runInsights.listStaleRuns({ ...query, ...cursor }, call),
      (page) => page.runs,
      query,
      options,
    );
  }

  /** The errors of failed runs, in groups: ListErrors. */
  errors(query: Query<typeof insights.ListErrorsRequestSchema> = {}, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runInsights.listErrors({ ...query, ...cursor }, call),
      (page) => page.errors,
      query,
      options,
    );
  }

  /** The templates: ListTemplates. */
  templates(query: Query<typeof templates.ListTemplatesRequestSchema> = {}, options?: IterationOptions) {
    return new Pages(
      (cursor, call) => this.runTemplates.listTemplates({ ...query, ...cursor }, call),
      (page) => page.templates,
      query,
      options,
    );
  }
}

/** Makes every error a RunIndexError, and bounds the calls that have no bound of their own. */
function withErrors(transport: Transport, timeoutMsDefault: number): Transport {
  return {
    async unary(method, signal, timeoutMs = timeoutMsDefault, header, input, contextValues) {
      try {
        return await transport.unary(method, signal, timeoutMs, header, input, contextValues);
      } catch (error) {
        throw RunIndexError.from(error, `${method.parent.typeName}/${method.name}`);
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const toError = (error: unknown) =>
        RunIndexError.from(error, `${method.parent.typeName}/${method.name}`);
      try {
        const response = await transport.stream(method, signal, timeoutMs, header, input, contextValues);
        return { ...response, message: mapErrors(response.message, toError) };
      } catch (error) {
        throw toError(error);
      }
    },
  };
}

/** Begins a call with its first item and ends it with the loop, where Connect would let it run. */
function cutOffAtReturn<Request, Piece>(
  call: (request: Request, options?: CallOptions) => AsyncIterable<Piece>,
): (request: Request, options?: CallOptions) => AsyncIterable<Piece> {
  return async function* (request, options) {
    const loop = new AbortController();
    const signals = options?.signal ? [options.signal, loop.signal] : [loop.signal];
    try {
      yield* call(request, { ...options, signal: AbortSignal.any(signals) });
    } finally {
      loop.abort();
    }
  };
}
