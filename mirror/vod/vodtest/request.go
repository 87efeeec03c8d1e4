package vodtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// fault is an error as the API answers it.
type fault struct{ Code, Message string }

func faultf(code, format string, args ...any) *fault {
	return &fault{code, fmt.Sprintf(format, args...)}
}

// parameters reads a request's body and takes out SubAppId, which all actions have.
func (s *Server) parameters(body []byte) (map[string]json.RawMessage, *fault) {
	var params map[string]json.RawMessage
	if err := json.Unmarshal(body, &params); err != nil || params == nil {
		return nil, faultf("InvalidParameter", "The request body is not a JSON object.")
	}
	var app struct{ SubAppId uint64 }
	raw, sent := params["SubAppId"]
	if sent {
		delete(params, "SubAppId")
		if f := decode(map[string]json.RawMessage{"SubAppId": raw}, &app); f != nil {
			return nil, f
		}
	}
	if app.SubAppId != s.options.SubAppID || sent != (s.options.SubAppID != 0) {
		return nil, faultf("InvalidParameterValue.SubAppId", "invalid SubAppId")
	}
	return params, nil
}

// decode reads parameters into the struct of an action. Names are told apart by case, and each must be known: encoding/json alone would let
// a misspelt one pass.
func decode(params map[string]json.RawMessage, into any) *fault {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		field := reflect.ValueOf(into).Elem().FieldByName(name)
		if !field.IsValid() {
			return faultf("UnknownParameter", "The parameter `%s` is not recognized.", name)
		}
		if field.Kind() == reflect.Struct {
			var members map[string]json.RawMessage
			if json.Unmarshal(params[name], &members) != nil {
				return mistyped(name)
			}
			if f := decode(members, field.Addr().Interface()); f != nil {
				return f
			}
		} else if json.Unmarshal(params[name], field.Addr().Interface()) != nil {
			return mistyped(name)
		}
	}
	return nil
}

func mistyped(name string) *fault {
	return faultf("InvalidParameter", "The value type of parameter `%s` is not valid.", name)
}
