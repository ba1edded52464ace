package runindex_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConformance holds the client to what those of all languages are held to.
func TestConformance(t *testing.T) {
	scenarios := must(readScenarios(filepath.FromSlash("../conformance/scenarios")))(t)
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario := scenarios[name]
			if err := scenario.run(t.Context(), dialTo(t, ownServer(t))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestThereAreScenarios(t *testing.T) {
	folder := t.TempDir()
	if _, err := readScenarios(folder); err == nil {
		t.Error("an empty folder is a suite")
	}
	path := filepath.Join(folder, "broken.json")
	if err := os.WriteFile(path, []byte(`{"about": "No steps.", "steps": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readScenarios(folder); err == nil || !strings.HasPrefix(err.Error(), "broken.json: ") {
		t.Errorf("reading a broken one ends with %v", err)
	}
}

func TestWhatIsNoScenario(t *testing.T) {
	const call = `"call": "runindex.v1.RunIndex/GetRun"`
	for _, text := range []string{
		``,
		`[]`,
		`{"steps": [{` + call + `, "response": {}}]}`,
		`{"about": "a"}`,
		`{"about": "a", "steps": []}`,
		`{"about": "a", "title": "a", "steps": [{` + call + `, "response": {}}]}`,
		`{"about": "a", "steps": [{` + call + `, "response": {}}]} {}`,
	} {
		if _, err := parseScenario([]byte(text)); err == nil {
			t.Errorf("it is taken for one: %s", text)
		}
	}
	for _, members := range []string{
		`"response": {}`,
		call,
		call + `, "response": null`,
		call + `, "response": []`,
		call + `, "response": {}, "wait": 1`,
		call + `, "response": {}, "request": []`,
		call + `, "response": {}, "stream": "runindex.v1.Maintenance/Verify"`,
		call + `, "response": {}, "error": {"code": "ABORTED"}`,
		call + `, "items": []`,
		call + `, "responses": []`,
		`"each": "runindex.v1.RunIndex/ListRuns", "response": {}`,
		`"stream": "runindex.v1.Maintenance/Verify", "items": []`,
		`"each": "runindex.v1.RunIndex/ListRuns", "items": [], "keep": {"run": "0.runId"}`,
		call + `, "error": {"code": "ABORTED"}, "keep": {"run": "run.runId"}`,
		call + `, "response": {}, "keep": {"a run": "run.runId"}`,
		call + `, "response": {}, "keep": {"run": 1}`,
		call + `, "error": {}`,
		call + `, "error": {"code": "OK"}`,
		call + `, "error": {"code": "Aborted"}`,
		call + `, "error": {"code": "ABORTED", "message": "no"}`,
		call + `, "error": {"code": "ABORTED", "metadata": {"currentVersion": 2}}`,
	} {
		if _, err := parseScenario([]byte(`{"about": "a", "steps": [{` + members + `}]}`)); err == nil {
			t.Errorf("it is taken for a step: %s", members)
		}
	}
}

// Each with what is told of it; nothing where it is the same.
func TestWhatIsCompared(t *testing.T) {
	for _, tt := range []struct{ expected, came, told string }{
		{`"a"`, `"a"`, ``},
		{`"a"`, `"b"`, `r: expected "a", got "b"`},
		{`1`, `1.0`, ``},
		{`1`, `1.5`, `r: expected 1, got 1.5`},
		{`1`, `"1"`, `r: expected 1, got "1"`},
		{`"1"`, `1`, `r: expected "1", got 1`},
		{`0`, `false`, `r: expected 0, got false`},
		{`true`, `true`, ``},
		{`true`, `false`, `r: expected true, got false`},
		{`""`, `null`, `r: expected "", got null`},
		{`null`, `null`, ``},
		{`null`, `0`, `r: expected null, got 0`},
		{`{}`, `{"a": 1}`, ``},
		{`{}`, `null`, `r: expected {}, got null`},
		{`{}`, `[]`, `r: expected {}, got []`},
		{`{"a": 1}`, `{"a": 1, "b": 2}`, ``},
		{`{"a": 1}`, `{"a": 2}`, `r.a: expected 1, got 2`},
		{`{"a": 1}`, `{}`, `r.a: expected 1, got nothing`},
		{`{"a": {}}`, `{}`, `r.a: expected {}, got nothing`},
		{`{"a": null}`, `{}`, ``},
		{`{"a": null}`, `{"a": null}`, ``},
		{`{"a": null}`, `{"a": ""}`, `r.a: expected null, got ""`},
		{`{"a": {"b": [0, {"c": 1}]}}`, `{"a": {"b": [0, {"c": 2}]}}`, `r.a.b.1.c: expected 1, got 2`},
		{`{"a": 1, "b": 2}`, `{"a": 0, "b": 0}`, "r.a: expected 1, got 0\nr.b: expected 2, got 0"},
		{`[]`, `[]`, ``},
		{`[]`, `[1]`, `r: expected [], got [1]`},
		{`[1, 2]`, `[1]`, `r: expected [1,2], got [1]`},
		{`[1, 2]`, `[2, 1]`, "r.0: expected 1, got 2\nr.1: expected 2, got 1"},
		{`[null]`, `[null]`, ``},
		{`[null]`, `[0]`, `r.0: expected null, got 0`},
		{`[]`, `{}`, `r: expected [], got {}`},
	} {
		told := ""
		if err := compare("r", parse(t, tt.expected), parse(t, tt.came)); err != nil {
			told = err.Error()
		}
		if told != tt.told {
			t.Errorf("of %s and %s is told: %s", tt.expected, tt.came, told)
		}
	}
}

// Each is the end of a scenario, told in words that the last column begins.
func TestWhatDoesNotHold(t *testing.T) {
	client := dialTo(t, ownServer(t))
	const (
		create  = `"call": "runindex.v1.RunIndex/CreateRun", "response": {}`
		dollar  = `"call": "runindex.v1.RunIndex/CreateRun", "request": {"tags": ["$$a"]}`
		get     = `"call": "runindex.v1.RunIndex/GetRun", "request": {"runId": "default"}`
		missing = `"call": "runindex.v1.RunIndex/GetRun", ` +
			`"request": {"runId": "00000000-0000-4000-8000-000000000000"}`
		list    = `"each": "runindex.v1.RunIndex/ListRuns", "request": {"view": "RUN_VIEW_ID_ONLY"}`
		refused = `"each": "runindex.v1.RunIndex/ListRuns", "request": {"pageSize": -1}`
		stream  = `"stream": "runindex.v1.Maintenance/Verify"`
		broken  = `"stream": "runindex.v1.Maintenance/Compact", "request": {"dryRun": true, "trustClock": true}`

		inGet    = `step 1, runindex.v1.RunIndex/GetRun: `
		inList   = `step 1, runindex.v1.RunIndex/ListRuns: `
		inCreate = `step 1, runindex.v1.RunIndex/CreateRun: `
		inVerify = `step 1, runindex.v1.Maintenance/Verify: `
	)
	for _, tt := range []struct{ steps, told string }{
		{`{` + get + `, "response": {"run": {"runId": "default", "endTime": null}}}`, ``},
		{`{` + get + `, "response": {"run": {"version": "7"}}}`,
			inGet + `response.run.version: expected "7", got "1"`},
		{`{` + get + `, "error": {"code": "NOT_FOUND"}}`, inGet + `error: expected NOT_FOUND, got {`},
		{`{` + missing + `, "error": {"code": "NOT_FOUND", "reason": "RUN_NOT_FOUND", "metadata": {}}}`, ``},
		{`{` + missing + `, "response": {}}`,
			inGet + `expected no error, got runindex: NotFound (RUN_NOT_FOUND): `},
		{`{` + missing + `, "error": {"code": "ABORTED"}}`,
			inGet + `error.code: expected "ABORTED", got "NOT_FOUND"`},
		{`{` + missing + `, "error": {"code": "NOT_FOUND", "reason": ""}}`,
			inGet + `error.reason: expected "", got "RUN_NOT_FOUND"`},
		{`{` + missing + `, "error": {"code": "NOT_FOUND", "metadata": {"runId": "default"}}}`,
			inGet + `error.metadata.runId: expected "default", got "00000000-`},
		{`{` + missing + `, "error": {"code": "NOT_FOUND", "metadata": {"run": ""}}}`,
			inGet + `error.metadata.run: expected "", got nothing`},
		{`{` + list + `, "items": [{"runId": "default"}]}`, ``},
		{`{` + list + `, "items": []}`, inList + `items: expected [], got [{`},
		{`{` + list + `, "error": {"code": "ABORTED"}}`, inList + `error: expected ABORTED, got [{`},
		{`{` + refused + `, "error": {"code": "INVALID_ARGUMENT", "reason": "INVALID_PAGE_SIZE"}}`, ``},
		{`{` + refused + `, "items": []}`,
			inList + `expected no error, got runindex: InvalidArgument (INVALID_PAGE_SIZE): `},
		{`{` + stream + `, "responses": [{"summary": null}, {"summary": {"drifts": "0"}}]}`, ``},
		{`{` + stream + `, "responses": []}`, inVerify + `responses: expected [], got [{`},
		{`{` + broken + `, "error": {"code": "INVALID_ARGUMENT", "reason": "INVALID_FIELD"}}`, ``},
		{`{` + broken + `, "responses": []}`,
			`step 1, runindex.v1.Maintenance/Compact: expected no error, got runindex: `},
		{`{"call": "runindex.v1.Maintenance/Verify", "response": {}}`,
			inVerify + `the method is of another kind`},
		{`{"stream": "runindex.v1.RunIndex/GetRun", "request": {"runId": "default"}, "responses": []}`,
			inGet + `the method is of another kind`},
		{`{"each": "runindex.v1.RunIndex/GetRun", "items": []}`,
			inGet + `the client has no such method`},
		{`{"call": "runindex.v1.RunIndex/Run", "response": {}}`,
			`step 1, runindex.v1.RunIndex/Run: the client has no such method`},
		{`{"call": "runindex.v2.RunIndex/GetRun", "response": {}}`,
			`step 1, runindex.v2.RunIndex/GetRun: the client has no such method`},
		{`{"call": "runindex.v1.RunIndex/GetRun", "request": {"run": "default"}, "response": {}}`,
			inGet + `request: `},
		{`{"call": "runindex.v1.RunIndex/GetRun", "request": {"runId": "$run"}, "response": {}}`,
			inGet + `request: run was not kept`},
		{`{` + get + `, "response": {"run": {"tags": ["$run"]}}}`,
			inGet + `response: run was not kept`},
		{`{` + missing + `, "error": {"code": "NOT_FOUND", "metadata": {"runId": "$run"}}}`,
			inGet + `error.metadata: run was not kept`},
		{`{` + dollar + `, "response": {"run": {"tags": ["$$a"]}}}`, ``},
		{`{` + dollar + `, "response": {"run": {"tags": ["$$$a"]}}}`,
			inCreate + `response.run.tags.0: expected "$$a", got "$a"`},
		{`{` + get + `, "response": {}, "keep": {"run": "run.runId"}}, ` +
			`{` + get + `, "response": {"run": {"runId": "$run"}}}`, ``},
		{`{` + create + `, "keep": {"run": "run.runId"}}, {` + get + `, "response": {"run": {"runId": "$run"}}}`,
			`step 2, runindex.v1.RunIndex/GetRun: response.run.runId: expected "`},
		{`{` + create + `, "keep": {"end": "run.endTime"}}`,
			inCreate + `keep.end: there is no run.endTime in {`},
		{`{` + create + `, "keep": {"tag": "run.tags.0"}}`,
			inCreate + `keep.tag: there is no run.tags.0 in {`},
		{`{` + create + `, "keep": {"run": "run"}}, {` + create + `, "keep": {"run": "run"}}`,
			`step 2, runindex.v1.RunIndex/CreateRun: keep: run was kept before`},
	} {
		scenario := must(parseScenario([]byte(`{"about": "a", "steps": [` + tt.steps + `]}`)))(t)
		err := scenario.run(soon(t), client)
		if tt.told == "" && err != nil {
			t.Errorf("%s: %v", tt.steps, err)
		}
		if tt.told != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.told)) {
			t.Errorf("of %s is told: %v", tt.steps, err)
		}
	}
}

func parse(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}
