package runindex

import (
	"context"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/runindex/runindex/clients/go/runindexv1"
)

func TestEveryMethodWithOneAnswerCanBeCalledAgain(t *testing.T) {
	for method, can := range repeatable {
		if !can && method != "/runindex.v1.Maintenance/Compact" {
			t.Errorf("%s is not made again", method)
		}
	}
	if len(repeatable) < 50 {
		t.Errorf("only %d methods are known", len(repeatable))
	}
}

// failing is a call that ends in the same way however often it is made, and notes when it was.
type failing struct {
	err     error
	begin   time.Time
	offsets []time.Duration
}

// make makes the call as [Dial] does unless it is told otherwise, with a chance.
func (f *failing) make(ctx context.Context, t *testing.T, chance float64) error {
	t.Helper()
	settings := newSettings(nil)
	calls := &calls{settings.timeout, settings.retries, func() float64 { return chance }}
	f.begin, f.offsets = time.Now(), nil
	return calls.unary(ctx, runindexv1.RunIndex_GetRun_FullMethodName, &runindexv1.GetRunRequest{},
		&runindexv1.GetRunResponse{}, nil,
		func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			f.offsets = append(f.offsets, time.Since(f.begin))
			return f.err
		})
}

func unavailable(t *testing.T, advice time.Duration) error {
	t.Helper()
	refused, err := status.New(codes.Unavailable, "too much is waiting").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(advice)})
	if err != nil {
		t.Fatal(err)
	}
	return refused.Err()
}

func TestWhenACallIsMadeAgain(t *testing.T) {
	const justBelowOne = 1 - 1e-16
	for _, tt := range []struct {
		chance        float64
		advice        time.Duration
		offsetsMillis []int64
	}{
		{0, 0, []int64{0, 50, 150, 350, 750}},
		{0.5, 0, []int64{0, 75, 225, 525, 1125}},
		{justBelowOne, 0, []int64{0, 100, 300, 700, 1500}},
		// The server's advice is a lower bound, and no more.
		{0, 150 * time.Millisecond, []int64{0, 150, 300, 500, 900}},
		{0.5, 6 * time.Second, []int64{0, 6000, 12000, 18000, 24000}},
		// There is no wait of which the deadline would be the end: 30 seconds for all tries.
		{0.5, 10 * time.Second, []int64{0, 10000, 20000}},
		{0.5, 30 * time.Second, []int64{0}},
		{0.5, math.MaxInt64, []int64{0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			call := &failing{err: unavailable(t, tt.advice)}
			err := call.make(t.Context(), t, tt.chance)

			var offsetsMillis []int64
			for _, offset := range call.offsets {
				offsetsMillis = append(offsetsMillis, offset.Round(time.Microsecond).Milliseconds())
			}
			if !slices.Equal(offsetsMillis, tt.offsetsMillis) {
				t.Errorf("with chance %v and advice %v: after %v ms", tt.chance, tt.advice, offsetsMillis)
			}
			if status.Code(err) != codes.Unavailable || time.Since(call.begin) != call.offsets[len(call.offsets)-1] {
				t.Errorf("it ends after %v with %v", time.Since(call.begin), err)
			}
		})
	}
}

func TestTheCallersDeadlineBoundsAllTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		call := &failing{err: unavailable(t, 0)}

		err := call.make(ctx, t, 0.5)

		// After 0 and 75 ms: the third try would be at 225.
		if status.Code(err) != codes.Unavailable || len(call.offsets) != 2 {
			t.Errorf("%v, then %v", call.offsets, err)
		}
	})
}

func TestWaitsGrowToABound(t *testing.T) {
	policy := newSettings(nil).retries
	for try, wholeMillis := range []time.Duration{100, 200, 400, 800, 1600, 2000, 2000} {
		if wait := policy.wait(try+1, 0, 0); wait != wholeMillis*time.Millisecond/2 {
			t.Errorf("after try %d it waits %v at least", try+1, wait)
		}
	}
	if wait := (retries{}).wait(1, 0, 0.5); wait != 0 {
		t.Errorf("without a policy it waits %v", wait)
	}
}

func TestWhatStaysOnThisMachine(t *testing.T) {
	for address, local := range map[string]bool{
		"localhost:50051":           true,
		"127.0.0.1:50051":           true,
		"[::1]:50051":               true,
		"LOCALHOST:50051":           true,
		"dns:localhost:50051":       true,
		"dns:///localhost:50051":    true,
		"dns:///[::1]:50051":        true,
		"unix:///run/runindex":      true,
		"unix-abstract:runindex":    true,
		"localhost":                 true,
		"runindex.example:50051":    false,
		"10.0.0.1:50051":            false,
		"dns:///10.0.0.1:50051":     false,
		"localhost.example:50051":   false,
		"dns://127.0.0.1/far:5005":  false,
		"dns://8.8.8.8/localhost:1": false,
		"example/127.0.0.1:50051":   false,
	} {
		if isLocal(address) != local {
			t.Errorf("%s: %v", address, !local)
		}
	}
}
