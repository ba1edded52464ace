package runindex_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runindex "github.com/runindex/runindex/clients/go"
	pb "github.com/runindex/runindex/clients/go/runindexv1"
)

func TestANestedRunIsRecorded(t *testing.T) {
	client, ctx := dial(t, runindex.WithConnect()), soon(t)
	metadata := must(runindex.Metadata(map[string]any{"model": "gpt-4o"}))(t)
	run := must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{Metadata: metadata}))(t).GetRun()
	step := must(client.Runs.CreateChildRun(ctx, &pb.CreateChildRunRequest{
		ParentRunId: run.GetRunId()}))(t).GetRun()
	must(client.Data.PutValue(ctx, &pb.PutValueRequest{
		RunId: step.GetRunId(), Key: "answer", Value: must(runindex.JSON([]string{"a", "b"}))(t)}))(t)
	must(client.Data.SetState(ctx, &pb.SetStateRequest{
		RunId: step.GetRunId(), Cell: "raw", Value: runindex.Bytes([]byte{0, 255})}))(t)
	must(client.Runs.CloseRun(ctx, &pb.CloseRunRequest{RunId: step.GetRunId()}))(t)
	must(client.Runs.CloseRun(ctx, &pb.CloseRunRequest{RunId: run.GetRunId()}))(t)

	tree := must(client.Insights.GetRunTree(ctx, &pb.GetRunTreeRequest{RunId: run.GetRunId()}))(t)
	if got := tree.GetRun().GetRun(); got.GetState() != pb.RunState_RUN_STATE_COMPLETED ||
		got.GetMetadata().AsMap()["model"] != "gpt-4o" {
		t.Errorf("the run is %v", got)
	}
	if got := tree.GetDescendants(); len(got) != 1 || got[0].GetRun().GetRunId() != step.GetRunId() {
		t.Errorf("its descendants are %v", got)
	}
	value := must(client.Data.GetValue(ctx, &pb.GetValueRequest{RunId: step.GetRunId(), Key: "answer"}))(t)
	if got := value.GetItem().GetValue().GetJson().AsInterface(); !reflect.DeepEqual(got, []any{"a", "b"}) {
		t.Errorf("it holds %v", got)
	}
	cell := must(client.Data.GetState(ctx, &pb.GetStateRequest{RunId: step.GetRunId(), Cell: "raw"}))(t)
	if got := cell.GetItem().GetValue().GetBinary(); string(got) != "\x00\xff" {
		t.Errorf("it holds %v", got)
	}
}

func TestARefusalHasItsReasonAndFields(t *testing.T) {
	client, ctx := dial(t), soon(t)
	run := must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{}))(t).GetRun().GetRunId()
	must(client.Runs.PauseRun(ctx, &pb.PauseRunRequest{RunId: run}))(t)

	_, err := client.Runs.CloseRun(ctx, &pb.CloseRunRequest{RunId: run})

	var refusal *runindex.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%T is no Error", err)
	}
	if refusal.Code != codes.FailedPrecondition || status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the code is %v", refusal.Code)
	}
	if refusal.Reason != pb.ErrorReason_ERROR_REASON_INVALID_STATE_TRANSITION ||
		runindex.ReasonOf(err) != refusal.Reason || refusal.ReasonName != "INVALID_STATE_TRANSITION" {
		t.Errorf("the reason is %v, %s", refusal.Reason, refusal.ReasonName)
	}
	if refusal.Metadata["runId"] != run || refusal.Metadata["fromState"] != "RUN_STATE_PAUSED" {
		t.Errorf("the metadata is %v", refusal.Metadata)
	}
	want := []pb.RunState{
		pb.RunState_RUN_STATE_ACTIVE, pb.RunState_RUN_STATE_CANCELLED, pb.RunState_RUN_STATE_ARCHIVED}
	if got := refusal.AllowedStates(); !reflect.DeepEqual(got, want) {
		t.Errorf("the allowed states are %v", got)
	}
	if !strings.Contains(err.Error(), "INVALID_STATE_TRANSITION") || !strings.Contains(err.Error(), run) {
		t.Errorf("it says %q", err)
	}
	if len(status.Convert(err).Details()) == 0 {
		t.Error("the status has lost its details")
	}
}

func TestAConditionIsHeld(t *testing.T) {
	client, ctx := dial(t), soon(t)
	run := must(client.Runs.CreateRun(ctx, &pb.CreateRunRequest{}))(t).GetRun().GetRunId()

	_, err := client.Runs.CloseRun(ctx, &pb.CloseRunRequest{RunId: run, ExpectedVersion: proto.Uint64(9)})

	var refusal *runindex.Error
	if !errors.As(err, &refusal) || refusal.Reason != pb.ErrorReason_ERROR_REASON_VERSION_MISMATCH ||
		refusal.Metadata["expectedVersion"] != "9" || refusal.Metadata["currentVersion"] != "1" {
		t.Errorf("it ends with %v", err)
	}
}

func TestTheStoreIsMaintained(t *testing.T) {
	client, ctx := dial(t), soon(t)
	if must(client.Maintenance.GetStatus(ctx, &pb.GetStatusRequest{}))(t).GetStore().GetStoreId() == "" {
		t.Error("the store has no id")
	}

	verification := must(client.Maintenance.Verify(ctx, &pb.VerifyRequest{}))(t)
	var summary *pb.VerifySummary
	for {
		piece, err := verification.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		summary = piece.GetSummary()
	}
	if summary.GetRows() == 0 || summary.GetDrifts() != 0 {
		t.Errorf("it came to %v", summary)
	}
}

func TestTheErrorsOfStreamsAreTyped(t *testing.T) {
	client := dial(t)
	ctx, cancel := context.WithCancel(soon(t))
	backup := must(client.Maintenance.Backup(ctx, &pb.BackupRequest{}))(t)
	cancel()

	var err error
	for err == nil {
		_, err = backup.Recv()
	}

	var refusal *runindex.Error
	if !errors.As(err, &refusal) || refusal.Code != codes.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	closed := closedPort(t)
	client := dialTo(t, closed, runindex.WithRetries(2, time.Millisecond, time.Millisecond))

	_, err := client.Runs.GetRun(soon(t), &pb.GetRunRequest{RunId: "default"})

	var refusal *runindex.Error
	if !errors.As(err, &refusal) || refusal.Code != codes.Unavailable || refusal.ReasonName != "" {
		t.Errorf("the call ends with %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = runindex.Dial(ctx, closed, runindex.WithConnect())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dialling ends with %v", err)
	}

	_, err = runindex.Dial(ctx, closed)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dialling with an ended context ends with %v", err)
	}
}

func TestTheEnvironmentTellsTheAddress(t *testing.T) {
	t.Setenv("RUNINDEX_ADDRESS", address(t))
	client := dialTo(t, "")
	must(client.Runs.GetRun(soon(t), &pb.GetRunRequest{RunId: "default"}))(t)
}

func TestTheExampleRuns(t *testing.T) {
	printed := run(t, "./example")
	if !strings.Contains(printed, "refused FailedPrecondition ERROR_REASON_INVALID_STATE_TRANSITION") {
		t.Errorf("it prints %s", printed)
	}
}

func TestTheProgramOfTheReadmeRuns(t *testing.T) {
	readme := string(must(os.ReadFile("README.md"))(t))
	_, program, _ := strings.Cut(readme, "```go\npackage main\n")
	program, _, found := strings.Cut("package main\n"+program, "```")
	if !found {
		t.Fatal("it has none")
	}
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if printed := run(t, path); !strings.Contains(printed, "RUN_STATE_COMPLETED") {
		t.Errorf("it prints %s", printed)
	}
}

// run returns what a program prints that is run against the real server.
func run(t *testing.T, program string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "go", "run", program)
	command.Env = append(os.Environ(), "RUNINDEX_ADDRESS="+address(t))
	printed, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	return string(printed)
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// must returns a result, and ends the test when there is none.
func must[Result any](result Result, err error) func(testing.TB) Result {
	return func(t testing.TB) Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}
