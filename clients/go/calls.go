package runindex

import (
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/runindex/runindex/clients/go/runindexv1"
)

// calls is what is done with each call: a deadline, a request id, retries, a typed error.
type calls struct {
	timeout time.Duration
	retries retries
	// chance returns numbers from 0 to below 1.
	chance func() float64
}

// retries say when a call is made again.
type retries struct {
	attempts       int
	first, longest time.Duration
}

// unary is the interceptor of calls with one answer.
func (c *calls) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if _, bounded := ctx.Deadline(); !bounded && c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	// Once for all tries: by its id the server knows a try of what it has applied already.
	request = withRequestID(request)
	for attempt := 1; ; attempt++ {
		err := typed(invoke(ctx, method, request, reply, conn, opts...))
		refusal, failed := err.(*Error)
		if !failed || refusal.Code != codes.Unavailable || !repeatable[method] || attempt >= c.retries.attempts {
			return err
		}
		wait := c.retries.wait(attempt, refusal.RetryAfter, c.chance())
		if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) <= wait {
			return err
		}
		if !sleep(ctx, wait) {
			return typed(status.FromContextError(ctx.Err()).Err())
		}
	}
}

// stream is the interceptor of calls that answer by a stream. They are not made again: whoever reads
// a stream has used a part of it.
func (c *calls) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, typed(err)
	}
	return typedStream{stream}, nil
}

// wait returns how long to wait after a try, from 1: never less than the server asked for. Chance,
// from 0 to below 1, keeps the callers that failed together from coming back together.
func (r retries) wait(attempt int, advised time.Duration, chance float64) time.Duration {
	whole := min(r.first, r.longest)
	for range attempt - 1 {
		whole = min(2*whole, r.longest)
	}
	half := whole / 2
	return max(half+time.Duration(chance*float64(whole-half)), advised, 0)
}

// sleep tells whether it was not woken by the end of ctx.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// withRequestID returns a request with an id, if it can carry one and does not. The caller's message
// is left alone: sent a second time, it is a second request.
func withRequestID(request any) any {
	message, ok := request.(proto.Message)
	if !ok {
		return request
	}
	field := message.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || message.ProtoReflect().Has(field) {
		return request
	}
	named := shallowCopy(message.ProtoReflect())
	named.Set(field, protoreflect.ValueOfString(rand.Text()))
	return named.Interface()
}

// shallowCopy returns a message with the same values, which the two share.
func shallowCopy(message protoreflect.Message) protoreflect.Message {
	copied := message.New()
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		copied.Set(field, value)
		return true
	})
	copied.SetUnknown(message.GetUnknown())
	return copied
}

// repeatable are the methods that can be called again after a failure: those without effects, and
// those that carry a request id.
var repeatable = func() map[string]bool {
	methods := map[string]bool{}
	for _, file := range []protoreflect.FileDescriptor{
		runindexv1.File_runindex_v1_run_index_proto,
		runindexv1.File_runindex_v1_run_data_proto,
		runindexv1.File_runindex_v1_insights_proto,
		runindexv1.File_runindex_v1_templates_proto,
		runindexv1.File_runindex_v1_maintenance_proto,
	} {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			level := method.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel()
			methods["/"+string(service.FullName())+"/"+string(method.Name())] =
				level == descriptorpb.MethodOptions_NO_SIDE_EFFECTS ||
					method.Input().Fields().ByName("request_id") != nil
		}
	}
	return methods
}()

// typedStream is a stream whose errors are typed.
type typedStream struct{ grpc.ClientStream }

func (s typedStream) RecvMsg(message any) error {
	return typed(s.ClientStream.RecvMsg(message))
}

func (s typedStream) SendMsg(message any) error {
	return typed(s.ClientStream.SendMsg(message))
}
