package io.runindex;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The answer to a collection method: all its items, or all its pages.
 *
 * <p>It pages by itself, and lazily: a page is asked for when its first item is, none before the
 * iteration begins, and each iteration asks anew. The request's {@code page_size} says how many
 * items a page holds, not how many there are in all; for at most so many, use {@code
 * stream().limit(n)}. An iteration throws {@link RunIndexException} when a page is refused.
 *
 * @param <P> the response of the method, which is a page
 * @param <T> an item
 */
public final class Pages<P, T> implements Iterable<T> {
  private final String firstToken;
  private final Function<String, P> fetch;
  private final Function<P, List<T>> items;
  private final Function<P, String> nextToken;

  Pages(
      String firstToken,
      Function<String, P> fetch,
      Function<P, List<T>> items,
      Function<P, String> nextToken) {
    this.firstToken = firstToken;
    this.fetch = fetch;
    this.items = items;
    this.nextToken = nextToken;
  }

  /** Returns an iterator over the items of all pages, in the order of the method. */
  @Override
  public Iterator<T> iterator() {
    Iterator<P> pages = new PageIterator();
    return new Iterator<>() {
      private Iterator<T> page = List.<T>of().iterator();

      @Override
      public boolean hasNext() {
        // A page of a search may be empty although more follow.
        while (!page.hasNext() && pages.hasNext()) {
          page = items.apply(pages.next()).iterator();
        }
        return page.hasNext();
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return page.next();
      }
    };
  }

  /** Returns a stream of the items of all pages, in the order of the method. */
  public Stream<T> stream() {
    return StreamSupport.stream(spliterator(), false);
  }

  /** Returns the pages themselves: for their revision, or to keep a page token. */
  public Iterable<P> pages() {
    return PageIterator::new;
  }

  /** Asks for the first page only, and returns it. */
  public P firstPage() {
    return fetch.apply(firstToken);
  }

  private final class PageIterator implements Iterator<P> {
    private String token = firstToken;
    private boolean ended;

    @Override
    public boolean hasNext() {
      return !ended;
    }

    @Override
    public P next() {
      if (ended) {
        throw new NoSuchElementException();
      }
      P page = fetch.apply(token);
      token = nextToken.apply(page);
      ended = token.isEmpty();
      return page;
    }
  }
}
