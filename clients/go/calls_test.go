package runindex_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runindex "github.com/runindex/runindex/clients/go"
	pb "github.com/runindex/runindex/clients/go/runindexv1"
)

var errUnavailable = status.Error(codes.Unavailable, "the network is gone")

// faults stand between a client and its server: each call uses up one, and is sent all the same, or
// not, before it ends with it.
type faults struct {
	errs []error
	lost bool // Whether the server's answers are lost, and not the calls.
	ids  []string
}

func (f *faults) option() runindex.Option {
	return runindex.WithDialOptions(grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
		invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		if named, ok := request.(interface{ GetRequestId() string }); ok {
			f.ids = append(f.ids, named.GetRequestId())
		} else {
			f.ids = append(f.ids, "")
		}
		if len(f.errs) == 0 {
			return invoke(ctx, method, request, reply, conn, opts...)
		}
		fault := f.errs[0]
		f.errs = f.errs[1:]
		if f.lost {
			if err := invoke(ctx, method, request, reply, conn, opts...); err != nil {
				return err
			}
		}
		return fault
	}))
}

func fast(attempts int) runindex.Option {
	return runindex.WithRetries(attempts, time.Millisecond, 4*time.Millisecond)
}

func TestAMutationIsAppliedOnceHoweverOftenItsAnswerIsLost(t *testing.T) {
	f := &faults{errs: []error{errUnavailable, errUnavailable, errUnavailable}, lost: true}
	client, ctx := dial(t, f.option(), fast(4)), soon(t)
	tag := rand.Text()

	created := must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{Tags: []string{tag}}))(t)

	runs := collect(t, client.QueryRunsByTag(ctx, &pb.QueryRunsByTagRequest{Tag: tag}), (*pb.Run).GetRunId)
	if !slices.Equal(runs, []string{created.GetRun().GetRunId()}) {
		t.Errorf("there are %v", runs)
	}
	ids := f.ids[:4]
	if ids[0] == "" || len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Errorf("the request ids are %q", ids)
	}
}

func TestEachCallHasARequestIDOfItsOwn(t *testing.T) {
	f := &faults{}
	client, ctx := dial(t, f.option()), soon(t)
	request := &pb.CreateRunRequest{Tags: []string{"own"}}

	first := must(client.Runs.CreateRun(ctx, request))(t).GetRun().GetRunId()
	second := must(client.Runs.CreateRun(ctx, request))(t).GetRun().GetRunId()

	if first == second || f.ids[0] == f.ids[1] {
		t.Error("a request that is sent again is taken for a retry")
	}
	if !proto.Equal(request, &pb.CreateRunRequest{Tags: []string{"own"}}) {
		t.Errorf("the caller's request was changed to %v", request)
	}

	named := &pb.CreateRunRequest{RequestId: proto.String(rand.Text())}
	first = must(client.Runs.CreateRun(ctx, named))(t).GetRun().GetRunId()
	second = must(client.Runs.CreateRun(ctx, named))(t).GetRun().GetRunId()
	if first != second || f.ids[2] != named.GetRequestId() {
		t.Error("the caller's own request id is not sent")
	}
}

func TestReadsAreMadeAgainToo(t *testing.T) {
	f := &faults{errs: []error{errUnavailable}}
	client := dial(t, f.option(), fast(2))
	must(client.Runs.GetRun(soon(t), &pb.GetRunRequest{RunId: "default"}))(t)
}

func TestTriesEnd(t *testing.T) {
	f := &faults{errs: slices.Repeat([]error{errUnavailable}, 9)}
	client := dial(t, f.option(), fast(3))

	_, err := client.Runs.CreateRun(soon(t), &pb.CreateRunRequest{})

	if status.Code(err) != codes.Unavailable || len(f.ids) != 3 {
		t.Errorf("%d tries, then %v", len(f.ids), err)
	}
}

func TestOnlyUnavailableIsTriedAgain(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable {
			continue
		}
		f := &faults{errs: []error{status.Error(code, "no")}}
		client := dial(t, f.option(), fast(3))

		_, err := client.Runs.CreateRun(soon(t), &pb.CreateRunRequest{})

		if status.Code(err) != code || len(f.ids) != 1 {
			t.Errorf("%v: %d tries, then %v", code, len(f.ids), err)
		}
	}
}

func TestStreamsAreNotMadeAgain(t *testing.T) {
	opened := 0
	refuse := runindex.WithDialOptions(grpc.WithChainStreamInterceptor(func(
		context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, grpc.Streamer, ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		opened++
		return nil, errUnavailable
	}))
	client := dial(t, refuse, fast(3))

	_, err := client.Maintenance.Backup(soon(t), &pb.BackupRequest{})

	if status.Code(err) != codes.Unavailable || opened != 1 {
		t.Errorf("%d tries, then %v", opened, err)
	}
}

func TestTheServersAdviceIsWaitedFor(t *testing.T) {
	f := &faults{errs: []error{advice(t, 200*time.Millisecond)}}
	client := dial(t, f.option(), fast(2))
	begin := time.Now()

	must(client.Runs.GetRun(soon(t), &pb.GetRunRequest{RunId: "default"}))(t)

	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("it was tried again after %v", took)
	}
}

func TestNobodyWaitsPastADeadline(t *testing.T) {
	f := &faults{errs: []error{advice(t, time.Hour)}}
	client := dial(t, f.option(), fast(2))
	begin := time.Now()

	_, err := client.Runs.GetRun(soon(t), &pb.GetRunRequest{RunId: "default"})

	var refusal *runindex.Error
	if !errors.As(err, &refusal) || refusal.Reason != pb.ErrorReason_ERROR_REASON_OVERLOADED ||
		refusal.RetryAfter != time.Hour {
		t.Errorf("it ends with %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	f := &faults{errs: []error{advice(t, time.Hour)}}
	client := dial(t, f.option(), fast(2), runindex.WithTimeout(0))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)

	_, err := client.Runs.GetRun(ctx, &pb.GetRunRequest{RunId: "default"})

	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

func TestACallWithoutADeadlineGetsOne(t *testing.T) {
	hang := runindex.WithDialOptions(grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption,
	) error {
		<-ctx.Done()
		return ctx.Err()
	}))
	client := dial(t, hang, runindex.WithTimeout(50*time.Millisecond))

	_, err := client.Runs.GetRun(context.Background(), &pb.GetRunRequest{RunId: "default"})

	if !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("it ends with %v", err)
	}
}

// advice returns a refusal that says when to try again.
func advice(t *testing.T, delay time.Duration) error {
	t.Helper()
	refused := status.New(codes.Unavailable, "too much is waiting")
	return must(refused.WithDetails(
		&errdetails.ErrorInfo{Domain: runindex.Domain, Reason: "OVERLOADED"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)},
	))(t).Err()
}
