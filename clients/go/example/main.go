// Command example records a run with a run nested in it, gives that data, closes both, and shows
// how a refusal is told. The server is at RUNINDEX_ADDRESS, or else on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"google.golang.org/protobuf/proto"

	runindex "github.com/runindex/runindex/clients/go"
	pb "github.com/runindex/runindex/clients/go/runindexv1"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := record(ctx); err != nil {
		log.Fatal(err)
	}
}

func record(ctx context.Context) error {
	client, err := runindex.Dial(ctx, "")
	if err != nil {
		return err
	}
	defer client.Close()

	metadata, err := runindex.Metadata(map[string]any{"model": "gpt-4o", "seed": 7})
	if err != nil {
		return err
	}
	created, err := client.Runs.CreateRun(ctx, &pb.CreateRunRequest{
		Tags: []string{"nightly"}, Metadata: metadata})
	if err != nil {
		return err
	}
	run := created.GetRun()
	fmt.Println("run   ", run.GetRunId(), run.GetState())

	if err := recordStep(ctx, client, run.GetRunId()); err != nil {
		return err
	}
	if _, err := client.Runs.CloseRun(ctx, &pb.CloseRunRequest{RunId: run.GetRunId()}); err != nil {
		return err
	}

	fmt.Println("children:")
	for child, err := range client.GetChildRuns(ctx, &pb.GetChildRunsRequest{RunId: run.GetRunId()}) {
		if err != nil {
			return err
		}
		fmt.Println("      ", child.GetRunId(), child.GetState(), child.GetDuration().AsDuration())
	}
	return beRefused(ctx, client, run.GetRunId())
}

// recordStep records a run nested in another, and what it holds.
func recordStep(ctx context.Context, client *runindex.Client, parent string) error {
	created, err := client.Runs.CreateChildRun(ctx, &pb.CreateChildRunRequest{
		ParentRunId: parent, Tags: []string{"step"}})
	if err != nil {
		return err
	}
	step := created.GetRun()
	fmt.Println("step  ", step.GetRunId(), step.GetState())

	answer, err := runindex.JSON(map[string]any{"text": "42", "tokens": 17})
	if err != nil {
		return err
	}
	if _, err := client.Data.PutValue(ctx, &pb.PutValueRequest{
		RunId: step.GetRunId(), Key: "answer", Value: answer}); err != nil {
		return err
	}
	line, err := runindex.JSON("asked the model")
	if err != nil {
		return err
	}
	if _, err := client.Data.AppendEvents(ctx, &pb.AppendEventsRequest{
		RunId: step.GetRunId(), Events: []*pb.EventDraft{{Stream: "log", Value: line}}}); err != nil {
		return err
	}
	// Closed only if nobody else has changed it.
	_, err = client.Runs.CloseRun(ctx, &pb.CloseRunRequest{
		RunId: step.GetRunId(), ExpectedVersion: proto.Uint64(step.GetVersion())})
	return err
}

// beRefused shows what a refusal tells: a run that is closed cannot fail.
func beRefused(ctx context.Context, client *runindex.Client, run string) error {
	_, err := client.Runs.FailRun(ctx, &pb.FailRunRequest{RunId: run, Error: "too late"})
	var refusal *runindex.Error
	if !errors.As(err, &refusal) {
		return fmt.Errorf("a refusal was expected, not %v", err)
	}
	fmt.Println("refused", refusal.Code, refusal.Reason)
	fmt.Println("       ", "from", refusal.Metadata["fromState"], "only to", refusal.AllowedStates())
	return nil
}
