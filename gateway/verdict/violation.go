package verdict

// The reasons of violations: stable labels of the metric.
const (
	ReasonNotJSON          = "not_json"
	ReasonWrongShape       = "wrong_shape"
	ReasonWrongKey         = "wrong_key"
	ReasonTrailingBytes    = "trailing_bytes"
	ReasonTooLarge         = "too_large"
	ReasonEncoded          = "encoded"
	ReasonForeignID        = "foreign_id"
	ReasonRepeatedID       = "repeated_id"
	ReasonMissingMember    = "missing_member" // or one of the wrong JSON type
	ReasonAddedMember      = "added_member"
	ReasonChangedLabels    = "changed_labels"
	ReasonChangedType      = "changed_type"
	ReasonChangedEndpoints = "changed_endpoints"
	ReasonAddedProperty    = "added_property"
	ReasonChangedValue     = "changed_value"
	ReasonBadMask          = "bad_mask"
	ReasonBadReason        = "bad_reason"
	ReasonBadChunk         = "bad_chunk"
	ReasonShortReply       = "short_reply"
	ReasonLongReply        = "long_reply"
)

// Violation is an answer that a worker may not give. Nothing of the answer is
// used. It never quotes values, names or ids.
type Violation struct {
	// Reason is a short stable label.
	Reason string
	// Detail says what is wrong and where, for the log.
	Detail string
}

// Error returns the reason and the detail.
func (v *Violation) Error() string { return "worker violation: " + v.Reason + ": " + v.Detail }
