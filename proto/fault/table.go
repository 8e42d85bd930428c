package fault

import (
	"net/http"

	"google.golang.org/grpc/codes"
)

// Kind is the closed set of failures. The order is part of the wire: values
// travel in gRPC details, so new kinds are added at the end.
type Kind uint8

const (
	// Internal is a defect of ours.
	Internal Kind = iota
	// Invalid is a request that is wrong in itself.
	Invalid
	// Unauthenticated is a missing or bad token.
	Unauthenticated
	// Denied is a good token without the right.
	Denied
	// NotFound is a thing that is not there, or may not be seen.
	NotFound
	// Conflict is a state that another change brought about.
	Conflict
	// Precondition is a revision that is no longer the newest.
	Precondition
	// TooLarge is a body over its limit.
	TooLarge
	// Unsupported is a media type or encoding that is not taken.
	Unsupported
	// Unprocessable is a well-formed request that cannot be carried out.
	Unprocessable
	// Throttled is a principal over its share.
	Throttled
	// BadWorker is a worker that answered wrongly.
	BadWorker
	// Unavailable is something that may work again later.
	Unavailable
	// Timeout is a deadline that has passed.
	Timeout
	// Loop is a request that went round in circles.
	Loop
	// Cancelled is a caller that went away.
	Cancelled
	kinds
)

// StatusClientClosed is the status logged for a caller that went away; it is
// never seen by anyone but proxies in between.
const StatusClientClosed = 499

type row struct {
	name string
	http int
	grpc codes.Code
}

// table is the one mapping. HTTP statuses are distinct except where the
// contract of an endpoint says otherwise, so HTTPKind can go back.
var table = [kinds]row{
	Internal:        {"internal", http.StatusInternalServerError, codes.Internal},
	Invalid:         {"invalid", http.StatusBadRequest, codes.InvalidArgument},
	Unauthenticated: {"unauthenticated", http.StatusUnauthorized, codes.Unauthenticated},
	Denied:          {"denied", http.StatusForbidden, codes.PermissionDenied},
	NotFound:        {"not_found", http.StatusNotFound, codes.NotFound},
	Conflict:        {"conflict", http.StatusConflict, codes.AlreadyExists},
	Precondition:    {"precondition", http.StatusPreconditionFailed, codes.FailedPrecondition},
	TooLarge:        {"too_large", http.StatusRequestEntityTooLarge, codes.ResourceExhausted},
	Unsupported:     {"unsupported", http.StatusUnsupportedMediaType, codes.Unimplemented},
	Unprocessable:   {"unprocessable", http.StatusUnprocessableEntity, codes.InvalidArgument},
	Throttled:       {"throttled", http.StatusTooManyRequests, codes.ResourceExhausted},
	BadWorker:       {"bad_worker", http.StatusBadGateway, codes.Aborted},
	Unavailable:     {"unavailable", http.StatusServiceUnavailable, codes.Unavailable},
	Timeout:         {"timeout", http.StatusGatewayTimeout, codes.DeadlineExceeded},
	Loop:            {"loop", http.StatusLoopDetected, codes.OutOfRange},
	Cancelled:       {"cancelled", StatusClientClosed, codes.Canceled},
}

// String returns the kind's name.
func (k Kind) String() string { return k.row().name }

// HTTPStatus returns the status that an error of this kind is sent with.
func (k Kind) HTTPStatus() int { return k.row().http }

// GRPCCode returns the code that an error of this kind is sent with.
func (k Kind) GRPCCode() codes.Code { return k.row().grpc }

func (k Kind) row() row {
	if k >= kinds {
		k = Internal
	}
	return table[k]
}

// HTTPKind returns the kind that a status stands for; a status that the table
// does not have counts as Internal from 500 on and as Invalid below.
func HTTPKind(status int) Kind {
	for k, r := range table {
		if r.http == status {
			return Kind(k)
		}
	}
	if status >= http.StatusInternalServerError {
		return Internal
	}
	return Invalid
}
