package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
)

// The codes of fleet.md, section 2, that this package gives.
const (
	codeBadURL           = "bad_url"
	codeMissingField     = "missing_field"
	codeUUIDMismatch     = "uuid_mismatch"
	codeBadUUID          = "bad_uuid"
	codeUnsupportedClass = "unsupported_class"
	codeUnsupportedType  = "unsupported_type"
	codeBadSettings      = "bad_settings"
	codeBadTransport     = "bad_transport"
	codeBadRequest       = "bad_request"
	codeSelf             = "self_registration"

	codeUUIDTaken = "uuid_taken"
	codeURLTaken  = "url_taken"
)

// ViolationOrder is the order in which the codes of a refused registration are
// listed, and of which the first present one names the whole (fleet.md,
// section 2).
func ViolationOrder() []string {
	return []string{
		codeBadURL, "address_refused", "unreachable", "timeout", "redirected", "bad_status", "too_large",
		"not_json", "empty_answer", codeMissingField, codeUUIDMismatch, codeBadUUID, codeUnsupportedClass,
		codeUnsupportedType, "incompatible_protocol", codeBadSettings, codeBadTransport, codeBadRequest, codeSelf,
	}
}

// Refused makes the one error for all that is wrong with a registration, sorted
// in ViolationOrder; nil when there is nothing. Code and Detail are the first
// one's.
func Refused(all []fault.Violation) error {
	if len(all) == 0 {
		return nil
	}
	order := ViolationOrder()
	rank := func(code string) int {
		if i := slices.Index(order, code); i >= 0 {
			return i
		}
		return len(order)
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b fault.Violation) int { return rank(a.Code) - rank(b.Code) })
	e := fault.New(fault.Unprocessable, all[0].Code, "%s", all[0].Detail)
	e.Violations = all
	return e
}

// violations gathers mistakes.
type violations struct{ list []fault.Violation }

// add notes one; the detail begins with the member, so that it can stand alone.
func (v *violations) add(code, pointer, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if member := strings.TrimPrefix(pointer, "/"); member != "" {
		detail = strings.ReplaceAll(member, "/", ".") + " " + detail
	}
	v.list = append(v.list, fault.Violation{Code: code, Pointer: pointer, Detail: detail})
}

func (v *violations) err() error { return Refused(v.list) }

// fromInspection takes over what an Inspector found and reports whether the
// answer could be read, so that there is more to check.
func (v *violations) fromInspection(err error) (readable bool) {
	if err == nil {
		return true
	}
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Unprocessable {
		return false
	}
	list := e.Violations
	if len(list) == 0 {
		list = []fault.Violation{{Code: e.Code, Detail: e.Detail}}
	}
	v.list = append(v.list, list...)
	return !slices.ContainsFunc(list, func(x fault.Violation) bool { return x.Code != codeMissingField })
}
