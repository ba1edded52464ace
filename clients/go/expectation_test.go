package runindex_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// kept holds parts of responses by the names of a scenario.
type kept map[string]any

// keep keeps what is at the paths.
func (k kept) keep(paths map[string]string, response any) error {
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if _, already := k[name]; already {
			return fmt.Errorf("keep: %s was kept before", name)
		}
		value := response
		for part := range strings.SplitSeq(paths[name], ".") {
			found := false
			switch holder := value.(type) {
			case map[string]any:
				value, found = holder[part]
			case []any:
				if i, err := strconv.Atoi(part); err == nil && 0 <= i && i < len(holder) {
					value, found = holder[i], true
				}
			}
			if !found {
				return fmt.Errorf("keep.%s: there is no %s in %s", name, paths[name], show(response))
			}
		}
		k[name] = value
	}
	return nil
}

// resolve returns a part of a scenario with what was kept in the place of its names.
func (k kept) resolve(value any) (any, error) {
	switch value := value.(type) {
	case string:
		name, isName := strings.CutPrefix(value, "$")
		if !isName || strings.HasPrefix(name, "$") {
			return name, nil
		}
		resolved, known := k[name]
		if !known {
			return nil, fmt.Errorf("%s was not kept", name)
		}
		return resolved, nil
	case []any:
		items := make([]any, len(value))
		for i, item := range value {
			var err error
			if items[i], err = k.resolve(item); err != nil {
				return nil, err
			}
		}
		return items, nil
	case map[string]any:
		members := make(map[string]any, len(value))
		for name, member := range value {
			var err error
			if members[name], err = k.resolve(member); err != nil {
				return nil, err
			}
		}
		return members, nil
	default:
		return value, nil
	}
}

// compare tells where what came is not what was expected: JSON, as encoding/json reads it.
func compare(path string, expected, came any) error {
	switch expected := expected.(type) {
	case map[string]any:
		object, isObject := came.(map[string]any)
		if !isObject {
			break
		}
		var faults []error
		for _, name := range slices.Sorted(maps.Keys(expected)) {
			member, isThere := object[name]
			if isThere || expected[name] == nil {
				faults = append(faults, compare(path+"."+name, expected[name], member))
			} else {
				faults = append(faults, mismatch(path+"."+name, show(expected[name]), "nothing"))
			}
		}
		return errors.Join(faults...)
	case []any:
		items, isArray := came.([]any)
		if !isArray || len(items) != len(expected) {
			break
		}
		var faults []error
		for i, item := range expected {
			faults = append(faults, compare(fmt.Sprintf("%s.%d", path, i), item, items[i]))
		}
		return errors.Join(faults...)
	default:
		if expected == came {
			return nil
		}
	}
	return mismatch(path, show(expected), show(came))
}

func mismatch(path, expected, came string) error {
	return fmt.Errorf("%s: expected %s, got %s", path, expected, came)
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
