package runindex

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/runindex/runindex/clients/go/runindexv1"
)

// Metadata returns the metadata of a run, or of a template, with these fields. Values are those of
// [Value]. Nothing is refused here that the server judges: sizes, depths and reserved keys.
func Metadata(fields map[string]any) (*structpb.Struct, error) {
	value, err := toValue(reflect.ValueOf(fields), "metadata", 0)
	if err != nil {
		return nil, err
	}
	if fields == nil {
		return &structpb.Struct{}, nil
	}
	return value.GetStructValue(), nil
}

// Value returns the JSON of a Go value: nil, bools, numbers, strings, slices, and maps with strings as
// keys, in pointers and interfaces or not; []byte becomes a string in base64.
//
// The contract's numbers are doubles. An integer that would lose digits is refused, and so are NaN
// and the infinities: send such as strings.
func Value(value any) (*structpb.Value, error) {
	return toValue(reflect.ValueOf(value), "value", 0)
}

// JSON returns a data value that holds the JSON of a Go value, as [Value] makes it.
func JSON(value any) (*runindexv1.DataValue, error) {
	made, err := Value(value)
	if err != nil {
		return nil, err
	}
	return &runindexv1.DataValue{Kind: &runindexv1.DataValue_Json{Json: made}}, nil
}

// Bytes returns a data value that holds bytes.
func Bytes(value []byte) *runindexv1.DataValue {
	return &runindexv1.DataValue{Kind: &runindexv1.DataValue_Binary{Binary: value}}
}

// depthMax is how deep a value may be: far deeper than the server takes. It ends what holds itself.
const depthMax = 100

// toValue returns the JSON of a value; place is where it stands, for errors.
func toValue(value reflect.Value, place string, depth int) (*structpb.Value, error) {
	if depth > depthMax {
		return nil, fmt.Errorf("runindex: %.64s...: more than %d levels", place, depthMax)
	}
	switch value.Kind() {
	case reflect.Invalid:
		return structpb.NewNullValue(), nil
	case reflect.Pointer, reflect.Interface:
		return toValue(value.Elem(), place, depth+1)
	case reflect.Bool:
		return structpb.NewBoolValue(value.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number := float64(value.Int())
		// The largest int64 is rounded to 2^63, which converts back to something else.
		if number >= math.MaxInt64 || int64(number) != value.Int() {
			return nil, fmt.Errorf("runindex: %s: %d loses digits as a double: send a string", place, value.Int())
		}
		return structpb.NewNumberValue(number), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		number := float64(value.Uint())
		if number >= math.MaxUint64 || uint64(number) != value.Uint() {
			return nil, fmt.Errorf("runindex: %s: %d loses digits as a double: send a string", place, value.Uint())
		}
		return structpb.NewNumberValue(number), nil
	case reflect.Float32, reflect.Float64:
		if number := value.Float(); !math.IsNaN(number) && !math.IsInf(number, 0) {
			return structpb.NewNumberValue(number), nil
		}
		return nil, fmt.Errorf("runindex: %s: JSON has no %v", place, value.Float())
	case reflect.String:
		return toString(value.String(), place)
	case reflect.Slice, reflect.Array:
		return toList(value, place, depth)
	case reflect.Map:
		return toStruct(value, place, depth)
	default:
		return nil, fmt.Errorf("runindex: %s: a %s is no JSON", place, value.Type())
	}
}

func toString(text, place string) (*structpb.Value, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("runindex: %s: not UTF-8", place)
	}
	return structpb.NewStringValue(text), nil
}

func toList(value reflect.Value, place string, depth int) (*structpb.Value, error) {
	if value.Kind() == reflect.Slice && value.IsNil() {
		return structpb.NewNullValue(), nil
	}
	if value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Uint8 {
		return structpb.NewStringValue(base64.StdEncoding.EncodeToString(value.Bytes())), nil
	}
	list := &structpb.ListValue{Values: make([]*structpb.Value, value.Len())}
	for i := range value.Len() {
		element, err := toValue(value.Index(i), fmt.Sprintf("%s[%d]", place, i), depth+1)
		if err != nil {
			return nil, err
		}
		list.Values[i] = element
	}
	return structpb.NewListValue(list), nil
}

func toStruct(value reflect.Value, place string, depth int) (*structpb.Value, error) {
	if value.IsNil() {
		return structpb.NewNullValue(), nil
	}
	if value.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("runindex: %s: keys of a %s are no strings", place, value.Type())
	}
	object := &structpb.Struct{Fields: make(map[string]*structpb.Value, value.Len())}
	for entry := value.MapRange(); entry.Next(); {
		name := entry.Key().String()
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("runindex: %s: a key is not UTF-8", place)
		}
		member, err := toValue(entry.Value(), place+"."+name, depth+1)
		if err != nil {
			return nil, err
		}
		object.Fields[name] = member
	}
	return structpb.NewStructValue(object), nil
}
