package registry

import (
	"errors"
	"strings"

	"github.com/google/uuid"
)

// ParseWorkerID reads a uuid as people and workers write it: 36 characters in
// the usual groups, in any case, with or without braces, without white space.
// It returns the canonical form. The nil uuid is refused: it identifies nobody.
func ParseWorkerID(s string) (WorkerID, error) {
	bare := s
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		if bare, ok = strings.CutSuffix(inner, "}"); !ok {
			return "", errUUID
		}
	}
	if len(bare) != len(WorkerID("00000000-0000-0000-0000-000000000000")) {
		return "", errUUID
	}
	id, err := uuid.Parse(bare)
	if err != nil {
		return "", errUUID
	}
	if id == uuid.Nil {
		return "", errNilUUID
	}
	return WorkerID(id.String()), nil
}

var (
	errUUID    = errors.New("is not a uuid; write it as 8-4-4-4-12 hexadecimal digits")
	errNilUUID = errors.New("is the nil uuid, which identifies nobody")
)

// newID makes a random uuid for a gateway.
func newID() (WorkerID, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	return WorkerID(id.String()), nil
}
