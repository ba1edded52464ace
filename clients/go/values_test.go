package runindex_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	runindex "github.com/runindex/runindex/clients/go"
)

func TestGoValuesBecomeJSON(t *testing.T) {
	type name string
	var nothing *int
	for _, each := range []struct{ value, want any }{
		{nil, nil},
		{nothing, nil},
		{[]string(nil), nil},
		{true, true},
		{7, 7.0},
		{uint8(7), 7.0},
		{int64(1) << 53, 9007199254740992.0},
		{int64(math.MinInt64), -9223372036854775808.0},
		{0.1, 0.1},
		{name("text"), "text"},
		{[]byte{1, 2}, "AQI="},
		{[2]int{1, 2}, []any{1.0, 2.0}},
		{[]any{}, []any{}},
		{map[name][]int{"a": {1}}, map[string]any{"a": []any{1.0}}},
		{map[string]any{"a": map[string]any{"b": nil}}, map[string]any{"a": map[string]any{"b": nil}}},
	} {
		value, err := runindex.Value(each.value)
		if err != nil || !reflect.DeepEqual(value.AsInterface(), each.want) {
			t.Errorf("%T %v becomes %v, %v", each.value, each.value, value, err)
		}
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	circle := map[string]any{}
	circle["again"] = circle
	for place, value := range map[string]any{
		"value.big":   map[string]any{"big": int64(1)<<53 + 1},
		"value[1]":    []any{0, uint64(math.MaxUint64)},
		"value.max":   map[string]int64{"max": math.MaxInt64},
		"value.nan":   map[string]float64{"nan": math.NaN()},
		"value[0]":    []float64{math.Inf(1)},
		"value.text":  map[string]string{"text": "\xff"},
		"not UTF-8":   map[string]any{"\xff": 1},
		"struct":      struct{}{},
		"no strings":  map[int]int{1: 1},
		"value.f":     map[string]any{"f": func() {}},
		"value.again": circle,
	} {
		_, err := runindex.JSON(value)
		if err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%s: %v", place, err)
		}
	}
}

func TestMetadataIsAnObject(t *testing.T) {
	metadata, err := runindex.Metadata(map[string]any{"model": "gpt-4o"})
	if err != nil || metadata.AsMap()["model"] != "gpt-4o" {
		t.Errorf("it is %v, %v", metadata, err)
	}
	if metadata, err = runindex.Metadata(nil); err != nil || metadata == nil || len(metadata.GetFields()) != 0 {
		t.Errorf("without fields it is %v, %v", metadata, err)
	}
	if metadata, err = runindex.Metadata(map[string]any{"n": math.NaN()}); err == nil || metadata != nil {
		t.Errorf("with NaN it is %v, %v", metadata, err)
	}
}
