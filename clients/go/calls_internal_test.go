package runindex

import (
	"math"
	"testing"
	"time"
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

func TestWaitsDoubleAndVary(t *testing.T) {
	policy := retries{attempts: 9, first: 100 * time.Millisecond, longest: time.Second}
	for attempt, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		most *= time.Millisecond
		for range 100 {
			if wait := policy.wait(attempt+1, 0); wait < most/2 || wait > most {
				t.Fatalf("after try %d it waits %v", attempt+1, wait)
			}
			if wait := policy.wait(attempt+1, time.Minute); wait < time.Minute {
				t.Fatalf("it waits %v, and not as long as it was told", wait)
			}
		}
	}
	if wait := policy.wait(1, math.MaxInt64); wait < time.Hour {
		t.Errorf("it waits %v, and not for ages", wait)
	}
	if wait := (retries{}).wait(1, 0); wait != 0 {
		t.Errorf("without a policy it waits %v", wait)
	}
}

func TestWhatStaysOnThisMachine(t *testing.T) {
	for address, local := range map[string]bool{
		"localhost:50051":          true,
		"127.0.0.1:50051":          true,
		"[::1]:50051":              true,
		"dns:///localhost:50051":   true,
		"unix:///run/runindex":     true,
		"localhost":                true,
		"runindex.example:50051":   false,
		"10.0.0.1:50051":           false,
		"dns:///10.0.0.1:50051":    false,
		"localhost.example:50051":  false,
		"dns://127.0.0.1/far:5005": false,
	} {
		if isLocal(address) != local {
			t.Errorf("%s: %v", address, !local)
		}
	}
}
