package runindex

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/runindex/runindex/clients/go/runindexv1"
)

// The methods of this file range over a collection, page after page; those of the stubs that have
// the same names return one page. Nothing is asked for before the first iteration, and no page
// before it is needed; `page_size` says how much is asked for at a time, not how much comes in all.
// An error comes last, with a zero value; ranging again begins again, at the request's `page_token`.

// ListRuns ranges over the runs of some or all states, newest first.
func (c *Client) ListRuns(
	ctx context.Context, request *runindexv1.ListRunsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Run, error] {
	return pages(ctx, request, opts, c.Runs.ListRuns, (*runindexv1.ListRunsResponse).GetRuns)
}

// QueryRunsByState ranges over the runs of one state, newest first.
func (c *Client) QueryRunsByState(
	ctx context.Context, request *runindexv1.QueryRunsByStateRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Run, error] {
	return pages(ctx, request, opts, c.Runs.QueryRunsByState, (*runindexv1.QueryRunsByStateResponse).GetRuns)
}

// QueryRunsByTag ranges over the runs that carry a tag, newest first.
func (c *Client) QueryRunsByTag(
	ctx context.Context, request *runindexv1.QueryRunsByTagRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Run, error] {
	return pages(ctx, request, opts, c.Runs.QueryRunsByTag, (*runindexv1.QueryRunsByTagResponse).GetRuns)
}

// SearchRuns ranges over the runs that match a query, newest first. It goes on where a page was
// truncated because the query's budget was spent.
func (c *Client) SearchRuns(
	ctx context.Context, request *runindexv1.SearchRunsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Run, error] {
	return pages(ctx, request, opts, c.Runs.SearchRuns, (*runindexv1.SearchRunsResponse).GetRuns)
}

// GetChildRuns ranges over the direct children of a run, newest first.
func (c *Client) GetChildRuns(
	ctx context.Context, request *runindexv1.GetChildRunsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Run, error] {
	return pages(ctx, request, opts, c.Runs.GetChildRuns, (*runindexv1.GetChildRunsResponse).GetRuns)
}

// ListValues ranges over the keys of a run that hold a value, by name.
func (c *Client) ListValues(
	ctx context.Context, request *runindexv1.ListValuesRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.KeyValue, error] {
	return pages(ctx, request, opts, c.Data.ListValues, (*runindexv1.ListValuesResponse).GetItems)
}

// GetValueHistory ranges over the kept versions of a key, newest first.
func (c *Client) GetValueHistory(
	ctx context.Context, request *runindexv1.GetValueHistoryRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.KeyValue, error] {
	return pages(ctx, request, opts, c.Data.GetValueHistory, (*runindexv1.GetValueHistoryResponse).GetItems)
}

// ReadEvents ranges over the events of a stream, or of a whole run.
func (c *Client) ReadEvents(
	ctx context.Context, request *runindexv1.ReadEventsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Event, error] {
	return pages(ctx, request, opts, c.Data.ReadEvents, (*runindexv1.ReadEventsResponse).GetEvents)
}

// ListStates ranges over the state cells of a run, by name.
func (c *Client) ListStates(
	ctx context.Context, request *runindexv1.ListStatesRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.StateCell, error] {
	return pages(ctx, request, opts, c.Data.ListStates, (*runindexv1.ListStatesResponse).GetItems)
}

// ListDocuments ranges over the documents of a run, by name.
func (c *Client) ListDocuments(
	ctx context.Context, request *runindexv1.ListDocumentsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Document, error] {
	return pages(ctx, request, opts, c.Data.ListDocuments, (*runindexv1.ListDocumentsResponse).GetItems)
}

// GetRunHistory ranges over the transitions of a run, oldest first.
func (c *Client) GetRunHistory(
	ctx context.Context, request *runindexv1.GetRunHistoryRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.RunTransition, error] {
	return pages(ctx, request, opts, c.Insights.GetRunHistory,
		(*runindexv1.GetRunHistoryResponse).GetTransitions)
}

// ListTags ranges over the tags that runs carry, by name or by count.
func (c *Client) ListTags(
	ctx context.Context, request *runindexv1.ListTagsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.TagCount, error] {
	return pages(ctx, request, opts, c.Insights.ListTags, (*runindexv1.ListTagsResponse).GetTags)
}

// ListStaleRuns ranges over the runs that nobody has touched for some time, the stalest first.
func (c *Client) ListStaleRuns(
	ctx context.Context, request *runindexv1.ListStaleRunsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.Run, error] {
	return pages(ctx, request, opts, c.Insights.ListStaleRuns, (*runindexv1.ListStaleRunsResponse).GetRuns)
}

// ListErrors ranges over the errors of failed runs, grouped, the most frequent first.
func (c *Client) ListErrors(
	ctx context.Context, request *runindexv1.ListErrorsRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.ErrorGroup, error] {
	return pages(ctx, request, opts, c.Insights.ListErrors, (*runindexv1.ListErrorsResponse).GetErrors)
}

// ListTemplates ranges over templates, by name.
func (c *Client) ListTemplates(
	ctx context.Context, request *runindexv1.ListTemplatesRequest, opts ...grpc.CallOption,
) iter.Seq2[*runindexv1.RunTemplate, error] {
	return pages(ctx, request, opts, c.Templates.ListTemplates,
		(*runindexv1.ListTemplatesResponse).GetTemplates)
}

// pages ranges over the items of all pages.
func pages[Request proto.Message, Response interface{ GetNextPageToken() string }, Item any](
	ctx context.Context, request Request, opts []grpc.CallOption,
	call func(context.Context, Request, ...grpc.CallOption) (Response, error),
	items func(Response) []Item,
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for next := request; ; {
			response, err := call(ctx, next, opts...)
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range items(response) {
				if !yield(item, nil) {
					return
				}
			}
			if response.GetNextPageToken() == "" {
				return
			}
			next = pageAt(request, response.GetNextPageToken())
		}
	}
}

// pageAt returns the request for a later page. The caller's message is left alone.
func pageAt[Request proto.Message](request Request, token string) Request {
	next := shallowCopy(request.ProtoReflect())
	fields := next.Descriptor().Fields()
	next.Set(fields.ByName("page_token"), protoreflect.ValueOfString(token))
	if skip := fields.ByName("skip"); skip != nil {
		// Counts from the first page, and is refused together with a token.
		next.Clear(skip)
	}
	return next.Interface().(Request)
}
