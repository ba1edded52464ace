package runindex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/runindex/runindex/clients/go/runindexv1"
)

// Domain is the domain of the reasons of RunIndex.
const Domain = "runindex"

// An Error is how a call of a [Client] ended other than well; [errors.As] finds it.
//
// Programs branch on the code and the reason; the message is for people, and may change. The table
// of reasons, with the keys of their metadata, stands at [runindexv1.ErrorReason].
type Error struct {
	// Code is the status code: also of what did not come from the server, such as Unavailable for
	// one that cannot be reached.
	Code codes.Code
	// Reason is why the server refused. It is ERROR_REASON_UNSPECIFIED when the server gave none,
	// or one that is newer than this client, which ReasonName then still has.
	Reason runindexv1.ErrorReason
	// ReasonName is the reason as it was sent: its name without ERROR_REASON_.
	ReasonName string
	// Metadata has the fields of the reason.
	Metadata map[string]string
	// Message is one sentence.
	Message string
	// RetryAfter is when the server thinks that another try may help; 0 when it said nothing.
	RetryAfter time.Duration

	status *status.Status
}

// Error returns the code, the reason and the message.
func (e *Error) Error() string {
	if e.ReasonName == "" {
		return fmt.Sprintf("runindex: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("runindex: %s (%s): %s", e.Code, e.ReasonName, e.Message)
}

// GRPCStatus returns the status with all its details; package status of grpc asks for it.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Is makes an ended context known to [errors.Is] as [context.Canceled] and
// [context.DeadlineExceeded], whichever side noticed it.
func (e *Error) Is(target error) bool {
	return target == context.Canceled && e.Code == codes.Canceled ||
		target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded
}

// AllowedStates returns the states that the run could change to: of
// ERROR_REASON_INVALID_STATE_TRANSITION; nil for other reasons, and when there is none.
func (e *Error) AllowedStates() []runindexv1.RunState {
	var states []runindexv1.RunState
	for name := range strings.SplitSeq(e.Metadata["allowedStates"], ",") {
		if state, known := runindexv1.RunState_value[name]; known {
			states = append(states, runindexv1.RunState(state))
		}
	}
	return states
}

// ReasonOf returns the reason of an error, and ERROR_REASON_UNSPECIFIED for one without.
func ReasonOf(err error) runindexv1.ErrorReason {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return runindexv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// typed returns what an error tells as an *Error, unless it is no status: the end of a stream, or
// something that an interceptor of the caller's own made up.
func typed(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if _, already := err.(*Error); already {
		return err
	}
	told, ok := status.FromError(err)
	if !ok {
		told = status.FromContextError(err)
		if told.Code() == codes.Unknown {
			return err
		}
	}
	refusal := &Error{Code: told.Code(), Message: told.Message(), status: told}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == Domain {
				refusal.ReasonName = detail.GetReason()
				refusal.Reason = runindexv1.ErrorReason(
					runindexv1.ErrorReason_value["ERROR_REASON_"+detail.GetReason()])
				refusal.Metadata = detail.GetMetadata()
			}
		case *errdetails.RetryInfo:
			refusal.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return refusal
}
