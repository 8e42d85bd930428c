package rest

import (
	"net/http"
	"reflect"
)

// Operation is one call of an API: what answers it and what describes it.
type Operation struct {
	// Method and Path are a method and a pattern of net/http's ServeMux without
	// the method.
	Method, Path string
	// ID and Summary are for the description.
	ID, Summary string
	// Guard, when not nil, is asked instead of the API's.
	Guard  Guard
	Handle Handler
	// Params are the query, header and path parameters.
	Params []Parameter
	// Body is what is read, nil when nothing is.
	Body    reflect.Type
	Answers []Answer
	// Problems are the statuses of the call's own errors.
	Problems []int
}

// Parameter is one parameter of a call.
type Parameter struct {
	// In is "query", "header" or "path".
	Name, In, Doc string
	// Sample is any value of the parameter's type.
	Sample any
	Enum   []any
}

// Answer is one way in which a call can end well.
type Answer struct {
	Status int
	Doc    string
	// Of is the type of the body, nil without one.
	Of      reflect.Type
	Headers []string
}

// NewAnswer makes an Answer; of is nil for one without a body.
func NewAnswer(status int, doc string, of reflect.Type, headers ...string) Answer {
	return Answer{Status: status, Doc: doc, Of: of, Headers: headers}
}

// Enum makes the list of a Parameter out of constants.
func Enum[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// commonFails are the statuses that any call may end with.
func commonFails() []int {
	return []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}
}
