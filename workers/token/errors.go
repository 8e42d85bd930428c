package token

import (
	"errors"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// Codes of the errors that leave this package.
const (
	// CodeInvalid is a token that is missing, malformed or not good here.
	CodeInvalid = "invalid_token"
	// CodeUnavailable says that the token cannot be judged now.
	CodeUnavailable = "identity_unavailable"
)

// ErrMissing is in the chain of the error for a request without any token. RFC
// 6750 section 3.1 wants no error code in the challenge then.
var ErrMissing = errors.New("no token was sent")

// errUnknownKey makes Verify ask for newer keys and try once more.
var errUnknownKey = errors.New("the token's key is not known")

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Unauthenticated, CodeInvalid, format, args...)
}

func unavailable(format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, CodeUnavailable, format, args...).After(time.Second)
}
