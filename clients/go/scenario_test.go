package runindex_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	runindex "github.com/runindex/runindex/clients/go"
)

// scenario is a file of the suite that all clients share; ../conformance/README.md tells its format.
type scenario struct {
	About string `json:"about"`
	Steps []step `json:"steps"`
}

// step is a call, of one of three kinds, and what it is expected to come to.
type step struct {
	Call      string            `json:"call"`
	Each      string            `json:"each"`
	Stream    string            `json:"stream"`
	Request   map[string]any    `json:"request"`
	Response  map[string]any    `json:"response"`
	Items     []any             `json:"items"`
	Responses []any             `json:"responses"`
	Error     *refusal          `json:"error"`
	Keep      map[string]string `json:"keep"`
}

type refusal struct {
	Code     string            `json:"code"`
	Reason   *string           `json:"reason"`
	Metadata map[string]string `json:"metadata"`
}

// readScenarios returns the scenarios of a folder by the names of their files.
func readScenarios(folder string) (map[string]scenario, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no scenarios", folder)
	}
	scenarios := map[string]scenario{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if scenarios[filepath.Base(path)], err = parseScenario(text); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return scenarios, nil
}

func parseScenario(text []byte) (read scenario, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return read, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return read, errors.New("something follows the scenario")
	}
	if read.About == "" || len(read.Steps) == 0 {
		return read, errors.New("about, or steps, are missing")
	}
	for i, step := range read.Steps {
		if err := step.check(); err != nil {
			return read, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return read, nil
}

var nameToKeep = regexp.MustCompile(`^\w+$`)

// check tells what is wrong with a step before it is made.
func (s *step) check() error {
	kinds, expectations := 0, 0
	for _, is := range []bool{s.Call != "", s.Each != "", s.Stream != ""} {
		if is {
			kinds++
		}
	}
	for _, is := range []bool{s.Response != nil, s.Items != nil, s.Responses != nil, s.Error != nil} {
		if is {
			expectations++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf("it has %d of call, each and stream", kinds)
	case expectations != 1:
		return fmt.Errorf("it has %d expectations", expectations)
	case s.Error == nil && (s.Call != "") != (s.Response != nil),
		s.Error == nil && (s.Each != "") != (s.Items != nil):
		return errors.New("its expectation is of another kind of call")
	case s.Keep != nil && s.Response == nil:
		return errors.New("only from a response can be kept")
	case s.Error != nil && code.Code_value[s.Error.Code] == 0:
		return fmt.Errorf("%q is no status code", s.Error.Code)
	}
	for name := range s.Keep {
		if !nameToKeep.MatchString(name) {
			return fmt.Errorf("nothing can be kept as %q", name)
		}
	}
	return nil
}

func (s *step) method() string { return s.Call + s.Each + s.Stream }

// run makes the steps in order, and tells of the first that does not hold.
func (s *scenario) run(ctx context.Context, client *runindex.Client) error {
	kept := kept{}
	for i, step := range s.Steps {
		if err := step.run(ctx, client, kept); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, step.method(), err)
		}
	}
	return nil
}

func (s *step) run(ctx context.Context, client *runindex.Client, kept kept) error {
	request, err := kept.resolve(s.Request)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	came, failure, err := s.send(ctx, client, request)
	if err != nil {
		return err
	}
	if s.Error != nil {
		return s.Error.compare(failure, came, kept)
	}
	if failure != nil {
		return fmt.Errorf("expected no error, got %w", failure)
	}
	name, expected := "response", any(s.Response)
	if s.Items != nil {
		name, expected = "items", s.Items
	} else if s.Responses != nil {
		name, expected = "responses", s.Responses
	}
	if expected, err = kept.resolve(expected); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := compare(name, expected, came); err != nil {
		return err
	}
	return kept.keep(s.Keep, came)
}

// send makes the call through the client's own stubs and iterators. It returns what came, as JSON,
// and how the call failed; or why it could not be made at all.
func (s *step) send(ctx context.Context, client *runindex.Client, request any) (came any, failure, err error) {
	method, err := methodOf(client, s.method(), s.Each != "")
	if err != nil {
		return nil, nil, err
	}
	message := reflect.New(method.Type().In(1).Elem())
	text, err := json.Marshal(request)
	if err == nil {
		err = protojson.Unmarshal(text, message.Interface().(proto.Message))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("request: %w", err)
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), message})
	if s.Each != "" {
		return drain(results[0])
	}
	if failure, _ := results[1].Interface().(error); failure != nil {
		return nil, failure, nil
	}
	if _, isMessage := results[0].Interface().(proto.Message); isMessage != (s.Call != "") {
		return nil, nil, errors.New("the method is of another kind")
	}
	if s.Call != "" {
		came, err = toJSON(results[0])
		return came, nil, err
	}
	return receive(results[0].MethodByName("Recv"))
}

// methodOf returns a method of a stub, or that of the client which ranges over all its pages.
func methodOf(client *runindex.Client, name string, each bool) (reflect.Value, error) {
	service, method, _ := strings.Cut(name, "/")
	service, isOurs := strings.CutPrefix(service, "runindex.v1.")
	fields := reflect.ValueOf(client).Elem()
	for i := range fields.NumField() {
		if !isOurs || fields.Type().Field(i).Type.Name() != service+"Client" {
			continue
		}
		found := fields.Field(i).MethodByName(method)
		if found.IsValid() && each {
			found = reflect.ValueOf(client).MethodByName(method)
		}
		if found.IsValid() {
			return found, nil
		}
	}
	return reflect.Value{}, errors.New("the client has no such method")
}

// drain returns what is ranged over, and how it failed.
func drain(items reflect.Value) (came any, failure, err error) {
	all := []any{}
	for item, end := range items.Seq2() {
		if failure, _ := end.Interface().(error); failure != nil {
			return all, failure, nil
		}
		made, err := toJSON(item)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, made)
	}
	return all, nil, nil
}

// receive returns what a stream holds, and how it failed.
func receive(next reflect.Value) (came any, failure, err error) {
	all := []any{}
	for {
		results := next.Call(nil)
		if failure, _ := results[1].Interface().(error); failure == io.EOF {
			return all, nil, nil
		} else if failure != nil {
			return all, failure, nil
		}
		made, err := toJSON(results[0])
		if err != nil {
			return nil, nil, err
		}
		all = append(all, made)
	}
}

func toJSON(message reflect.Value) (made any, err error) {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message.Interface().(proto.Message))
	if err == nil {
		err = json.Unmarshal(text, &made)
	}
	return made, err
}

// compare tells how the typed error of a call is another than that which was expected.
func (r *refusal) compare(failure error, came any, kept kept) error {
	var got *runindex.Error
	if failure == nil {
		return fmt.Errorf("error: expected %s, got %s", r.Code, show(came))
	}
	if !errors.As(failure, &got) {
		return fmt.Errorf("error: expected a *runindex.Error, got %T: %w", failure, failure)
	}
	expected := map[string]any{"code": r.Code}
	if r.Reason != nil {
		expected["reason"] = *r.Reason
	}
	if r.Metadata != nil {
		metadata, err := kept.resolve(untyped(r.Metadata))
		if err != nil {
			return fmt.Errorf("error.metadata: %w", err)
		}
		expected["metadata"] = metadata
	}
	return compare("error", expected, map[string]any{
		"code": code.Code(got.Code).String(), "reason": got.ReasonName, "metadata": untyped(got.Metadata)})
}

func untyped(texts map[string]string) map[string]any {
	members := map[string]any{}
	for name, text := range texts {
		members[name] = text
	}
	return members
}
