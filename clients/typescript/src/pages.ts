import type { CallOptions } from "@connectrpc/connect";

/** How to go through a collection. `timeoutMs` and `signal` hold for each page. */
export interface IterationOptions extends CallOptions {
  /** How many items to return at most, over all pages; all of them when unset. */
  readonly limit?: number | undefined;
}

/** Where a page begins, and how many items it holds at most. */
export interface Cursor {
  readonly pageSize: number;
  readonly pageToken: string;
}

const PAGE_SIZE_MAX = 1_000;

/**
 * A collection of the server, page by page. Nothing is asked for before the first item is; each
 * iteration begins anew, and ends where the server's pages do, an empty page in between or not.
 */
export class Pages<Page extends { nextPageToken: string }, Item> implements AsyncIterable<Item> {
  constructor(
    private readonly fetch: (cursor: Cursor, options: CallOptions) => Promise<Page>,
    private readonly itemsOf: (page: Page) => readonly Item[],
    private readonly start: { pageSize?: number; pageToken?: string },
    private readonly options: IterationOptions = {},
  ) {}

  /** The items. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    let left = this.options.limit ?? Infinity;
    for await (const page of this.pages()) {
      for (const item of this.itemsOf(page)) {
        if (left-- <= 0) return;
        yield item;
      }
    }
  }

  /** The answers as they come, with their tokens and revisions. */
  async *pages(): AsyncGenerator<Page, void, undefined> {
    const { limit, ...call } = this.options;
    let left = limit ?? Infinity;
    let pageToken = this.start.pageToken ?? "";
    while (left > 0) {
      const page = await this.fetch({ pageSize: this.pageSize(left), pageToken }, call);
      yield page;
      left -= this.itemsOf(page).length;
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }

  /** The first item, or undefined when there is none. */
  async first(): Promise<Item | undefined> {
    const one = new Pages(this.fetch, this.itemsOf, this.start, { ...this.options, limit: 1 });
    for await (const item of one) return item;
    return undefined;
  }

  /** All items, in an array. */
  async toArray(): Promise<Item[]> {
    const items: Item[] = [];
    for await (const item of this) items.push(item);
    return items;
  }

  private pageSize(left: number): number {
    const size = this.start.pageSize ?? 0;
    // 0 is the server's default, which only a limit makes worth replacing. Negative is its to refuse.
    if (left === Infinity || size < 0) return size;
    return Math.min(left, size || PAGE_SIZE_MAX);
  }
}
