package fault

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the ErrorInfo domain of Muster's own gRPC errors.
const Domain = "muster"

const (
	metaKind       = "kind"
	metaWorkerUUID = "worker_uuid"
	metaWorkerName = "worker_name"
)

// GRPCStatus makes *Error usable as a return value of gRPC handlers: the code
// comes from the table; ErrorInfo carries the stable code and the worker,
// RetryInfo the wait, BadRequest the violations.
func (e *Error) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{
		Domain:   Domain,
		Reason:   valid(e.Code),
		Metadata: map[string]string{metaKind: strconv.Itoa(int(e.Kind))},
	}
	if e.Worker != nil {
		info.Metadata[metaWorkerUUID] = valid(e.Worker.UUID)
		info.Metadata[metaWorkerName] = valid(e.Worker.Name)
	}
	details := []protoadapt.MessageV1{info}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: valid(v.Pointer), Description: valid(v.Detail), Reason: valid(v.Code),
			})
		}
		details = append(details, bad)
	}
	st := status.New(e.Kind.GRPCCode(), valid(e.Detail))
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st
}

// valid makes text that may go into a protobuf string: one that is not UTF-8, as
// a worker's own words may be, would cost the status all of its details.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// FromGRPC turns an error of a gRPC call back into an *Error. ok is false when
// the peer sent no ErrorInfo of this domain; the error is then of the kind that
// the code alone suggests, with the code's name as Code.
func FromGRPC(err error) (e *Error, ok bool) {
	if err == nil {
		return nil, false
	}
	st, isStatus := status.FromError(err)
	if !isStatus {
		return From(err), false
	}
	e = New(codeKind(st.Code()), st.Code().String(), "%s", st.Message()).Wrap(err)
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				ok = true
				e.fillFromInfo(d)
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{
					Code: v.GetReason(), Pointer: v.GetField(), Detail: v.GetDescription(),
				})
			}
		}
	}
	return e, ok
}

func (e *Error) fillFromInfo(info *errdetails.ErrorInfo) {
	e.Code = info.GetReason()
	if n, err := strconv.ParseUint(info.GetMetadata()[metaKind], 10, 8); err == nil && Kind(n) < kinds {
		e.Kind = Kind(n)
	}
	if uuid := info.GetMetadata()[metaWorkerUUID]; uuid != "" {
		e.Worker = &WorkerRef{UUID: uuid, Name: info.GetMetadata()[metaWorkerName]}
	}
}

// IsStatus reports whether err is, or wraps, a gRPC status error.
func IsStatus(err error) bool {
	var s interface{ GRPCStatus() *status.Status }
	return errors.As(err, &s)
}

func codeKind(c codes.Code) Kind {
	for k, r := range table {
		if r.grpc == c {
			return Kind(k)
		}
	}
	return Internal
}
