package runindex_test

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	runindex "github.com/runindex/runindex/clients/go"
	pb "github.com/runindex/runindex/clients/go/runindexv1"
)

const size = 2 // Of a page; there are five of everything.

func TestEveryCollectionIsRangedOver(t *testing.T) {
	client, ctx := dialTo(t, ownServer(t)), soon(t)
	tag := "ranged"
	run := fill(ctx, t, client, tag).GetRunId()

	names := []string{"item-a", "item-b", "item-c", "item-d", "item-e"}
	newest := []string{"item-e", "item-d", "item-c", "item-b", "item-a"}
	check := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s gives %v, not %v", what, got, want)
		}
	}
	check("ListRuns", collect(t, client.ListRuns(ctx, &pb.ListRunsRequest{
		States: []pb.RunState{pb.RunState_RUN_STATE_FAILED}, PageSize: size}), errorText), newest)
	check("ListRuns with skip", collect(t, client.ListRuns(ctx, &pb.ListRunsRequest{
		States: []pb.RunState{pb.RunState_RUN_STATE_FAILED}, PageSize: size, Skip: 2}), errorText), newest[2:])
	check("QueryRunsByState", collect(t, client.QueryRunsByState(ctx, &pb.QueryRunsByStateRequest{
		State: pb.RunState_RUN_STATE_FAILED, PageSize: size}), errorText), newest)
	check("QueryRunsByTag", collect(t, client.QueryRunsByTag(ctx, &pb.QueryRunsByTagRequest{
		Tag: tag, PageSize: size}), errorText), newest)
	check("SearchRuns", collect(t, client.SearchRuns(ctx, &pb.SearchRunsRequest{
		Query: "tag:" + tag, PageSize: size}), errorText), newest)
	check("GetChildRuns", collect(t, client.GetChildRuns(ctx, &pb.GetChildRunsRequest{
		RunId: run, PageSize: size}), errorText), newest)

	check("ListValues", collect(t, client.ListValues(ctx, &pb.ListValuesRequest{
		RunId: run, Prefix: "item-", PageSize: size}), (*pb.KeyValue).GetKey), names)
	check("GetValueHistory", collect(t, client.GetValueHistory(ctx, &pb.GetValueHistoryRequest{
		RunId: run, Key: "again", PageSize: size}), func(item *pb.KeyValue) string {
		return names[item.GetVersion()-1]
	}), newest)
	check("ReadEvents", collect(t, client.ReadEvents(ctx, &pb.ReadEventsRequest{
		RunId: run, PageSize: size}), (*pb.Event).GetStream), names)
	check("ReadEvents backwards", collect(t, client.ReadEvents(ctx, &pb.ReadEventsRequest{
		RunId: run, FromSequence: proto.Uint64(3), Backwards: true, PageSize: size}),
		(*pb.Event).GetStream), newest[1:])
	check("ListStates", collect(t, client.ListStates(ctx, &pb.ListStatesRequest{
		RunId: run, PageSize: size}), (*pb.StateCell).GetCell), names)
	check("ListDocuments", collect(t, client.ListDocuments(ctx, &pb.ListDocumentsRequest{
		RunId: run, PageSize: size}), (*pb.Document).GetDocument), names)

	check("GetRunHistory", collect(t, client.GetRunHistory(ctx, &pb.GetRunHistoryRequest{
		RunId: run, PageSize: size}), func(item *pb.RunTransition) string {
		return names[item.GetVersion()-1]
	}), names)
	check("ListTags", collect(t, client.ListTags(ctx, &pb.ListTagsRequest{
		Prefix: "item-", PageSize: size}), (*pb.TagCount).GetTag), names)
	check("ListErrors", collect(t, client.ListErrors(ctx, &pb.ListErrorsRequest{
		PageSize: size}), (*pb.ErrorGroup).GetError), newest)
	check("ListTemplates", collect(t, client.ListTemplates(ctx, &pb.ListTemplatesRequest{
		PageSize: size}), (*pb.RunTemplate).GetName), names)
	for _, err := range client.ListStaleRuns(ctx, &pb.ListStaleRunsRequest{
		IdleFor: durationpb.New(24 * time.Hour), PageSize: size}) {
		t.Errorf("ListStaleRuns finds a run, or ends with %v", err)
	}
}

func TestEveryCollectionOfTheContractHasItsRange(t *testing.T) {
	client := reflect.TypeFor[*runindex.Client]()
	for _, stub := range []reflect.Type{
		reflect.TypeFor[pb.RunIndexClient](),
		reflect.TypeFor[pb.RunDataClient](),
		reflect.TypeFor[pb.RunInsightsClient](),
		reflect.TypeFor[pb.RunTemplatesClient](),
	} {
		for i := range stub.NumMethod() {
			method := stub.Method(i)
			if _, paged := method.Type.Out(0).MethodByName("GetNextPageToken"); !paged {
				continue
			}
			ranged, known := client.MethodByName(method.Name)
			if !known || ranged.Type.In(2) != method.Type.In(1) {
				t.Errorf("%s cannot be ranged over", method.Name)
			}
		}
	}
}

func TestNoPageIsAskedForBeforeItIsNeeded(t *testing.T) {
	calls := 0
	client := dial(t, runindex.WithDialOptions(grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
		invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		calls++
		return invoke(ctx, method, request, reply, conn, opts...)
	})))
	ctx := soon(t)
	tag := rand.Text()
	for range 3 {
		must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{Tags: []string{tag}}))(t)
	}
	calls = 0
	request := &pb.QueryRunsByTagRequest{Tag: tag, PageSize: 1}
	before := proto.Clone(request)
	runs := client.QueryRunsByTag(ctx, request)
	if calls != 0 {
		t.Errorf("%d calls before the first iteration", calls)
	}
	first := firstOf(t, runs)
	if calls != 1 {
		t.Errorf("%d calls for the first run", calls)
	}
	if again := firstOf(t, runs); again.GetRunId() != first.GetRunId() {
		t.Errorf("ranging again begins at %s, not at %s", again.GetRunId(), first.GetRunId())
	}
	if !proto.Equal(request, before) {
		t.Errorf("the caller's request was changed to %v", request)
	}

	calls = 0
	collect(t, runs, (*pb.Run).GetRunId)
	if calls != 3 {
		t.Errorf("%d calls for three pages", calls)
	}
}

func TestAnErrorComesLast(t *testing.T) {
	client := dial(t)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	tag := rand.Text()
	for range 2 {
		must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{Tags: []string{tag}}))(t)
	}
	seen, failed := 0, 0
	for run, err := range client.QueryRunsByTag(ctx, &pb.QueryRunsByTagRequest{Tag: tag, PageSize: 1}) {
		if err != nil {
			failed++
			if run != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("it ends with %v, %v", run, err)
			}
			continue
		}
		seen++
		cancel()
	}
	if seen != 1 || failed != 1 {
		t.Errorf("%d runs and %d errors", seen, failed)
	}

	for _, err := range client.SearchRuns(soon(t), &pb.SearchRunsRequest{Query: "("}) {
		if runindex.ReasonOf(err) != pb.ErrorReason_ERROR_REASON_INVALID_QUERY {
			t.Errorf("a malformed query ends with %v", err)
		}
	}
}

// fill makes a run that holds five of everything: children that failed, values, versions, events,
// cells, documents, transitions; and beside it five tags and templates.
func fill(ctx context.Context, t *testing.T, client *runindex.Client, tag string) *pb.Run {
	run := must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{}))(t).GetRun()
	id := run.GetRunId()
	value := must(runindex.JSON("text"))(t)
	for i := range 5 {
		name := "item-" + string(rune('a'+i))
		child := must(client.Runs.CreateChildRun(ctx, &pb.CreateChildRunRequest{
			ParentRunId: id, Tags: []string{tag, name}}))(t).GetRun()
		must(client.Runs.FailRun(ctx, &pb.FailRunRequest{RunId: child.GetRunId(), Error: name}))(t)
		must(client.Data.PutValue(ctx, &pb.PutValueRequest{RunId: id, Key: name, Value: value}))(t)
		must(client.Data.PutValue(ctx, &pb.PutValueRequest{RunId: id, Key: "again", Value: value}))(t)
		must(client.Data.AppendEvents(ctx, &pb.AppendEventsRequest{
			RunId: id, Events: []*pb.EventDraft{{Stream: name, Value: value}}}))(t)
		must(client.Data.SetState(ctx, &pb.SetStateRequest{RunId: id, Cell: name, Value: value}))(t)
		must(client.Data.SetDocument(ctx, &pb.SetDocumentRequest{
			RunId: id, Document: name, Value: structpb.NewNullValue()}))(t)
		must(client.Templates.PutTemplate(ctx, &pb.PutTemplateRequest{Name: name}))(t)
	}
	for range 2 {
		must(client.Runs.PauseRun(ctx, &pb.PauseRunRequest{RunId: id}))(t)
		must(client.Runs.ResumeRun(ctx, &pb.ResumeRunRequest{RunId: id}))(t)
	}
	return run
}

func errorText(run *pb.Run) string { return run.GetError() }

// collect returns what is ranged over, by name.
func collect[Item any](t *testing.T, items iter.Seq2[Item, error], name func(Item) string) []string {
	var names []string
	for item, err := range items {
		names = append(names, name(must(item, err)(t)))
	}
	return names
}

func firstOf[Item any](t *testing.T, items iter.Seq2[Item, error]) (none Item) {
	for item, err := range items {
		return must(item, err)(t)
	}
	t.Fatal("there is none")
	return none
}
