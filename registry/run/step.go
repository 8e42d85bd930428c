package run

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The bounds and defaults of a step.
const (
	// MaxName is the most characters that a step's name may have.
	MaxName = 100
	// MaxListed is the most entries that one list of a step may have.
	MaxListed = 10_000
	// MaxText is the most bytes that a listed name, a client id or a secret's
	// file name may have.
	MaxText = 512

	// DefaultTimeout bounds one attempt unless the step says otherwise.
	DefaultTimeout = 10 * time.Minute
	// MinTimeout and MaxTimeout are what a step may say.
	MinTimeout = time.Second
	MaxTimeout = 24 * time.Hour
	// MaxRetries is the most retries that a step may ask for; the default is 0.
	MaxRetries = 10
)

// Step is the configuration of a rule transformation: what its worker is given
// at each run. It must not be changed once it has been stored.
type Step struct {
	// Name is the step's identity; see CheckName.
	Name string
	// Worker is the uuid of a registered RuleTransformation worker, canonical.
	Worker string
	Client Client
	// Users, Groups and Clients choose among what Keycloak has; Entities and
	// Relationships, by id, among what the graph model has.
	Users, Groups, Clients  Choice[string]
	Entities, Relationships Choice[int64]
	// Timeout bounds one attempt as a whole, from reading Keycloak to the
	// worker's last byte.
	Timeout time.Duration
	// Retries is how many attempts may follow one that did not succeed.
	Retries int

	CreatedBy            string
	CreatedAt, UpdatedAt time.Time
	// Revision counts the changes of this step, from 1 on.
	Revision int64
}

// Client is the Keycloak client that a step's worker acts as.
type Client struct {
	ID string
	// SecretFile names the file that holds its secret, below the directory that
	// the configuration names. The secret itself is neither stored nor shown.
	SecretFile string
}

// Choice is what a step asks for of one kind of things: nothing (the zero value),
// all, or those listed.
type Choice[T comparable] struct {
	// All asks for everything there is; List is empty then.
	All bool
	// List is asked for, when it is not nil; it may be empty.
	List []T
}

// Wanted reports whether the step asks for this kind at all: the body has the
// array then, empty or not.
func (c Choice[T]) Wanted() bool { return c.All || c.List != nil }

// Has reports whether the step asks for one thing.
func (c Choice[T]) Has(one T) bool { return c.All || slices.Contains(c.List, one) }

// equal reports whether two choices ask for the same.
func (c Choice[T]) equal(o Choice[T]) bool {
	return c.All == o.All && (c.List == nil) == (o.List == nil) && slices.Equal(c.List, o.List)
}

// SameWish reports whether two steps say the same, whoever said it and when.
func (s *Step) SameWish(o *Step) bool {
	return s.Name == o.Name && s.Worker == o.Worker && s.Client == o.Client &&
		s.Users.equal(o.Users) && s.Groups.equal(o.Groups) && s.Clients.equal(o.Clients) &&
		s.Entities.equal(o.Entities) && s.Relationships.equal(o.Relationships) &&
		s.Timeout == o.Timeout && s.Retries == o.Retries
}

// CheckName says what keeps a text from being a step's name. Names stand in
// paths, so they are letters, digits, dot, dash and underscore of ASCII, and
// begin with a letter or digit.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > MaxName:
		return fmt.Errorf("has %d characters; at most %d are taken", len(name), MaxName)
	}
	for i, r := range name {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !plain && (i == 0 || !strings.ContainsRune(".-_", r)) {
			return errors.New("may hold letters, digits, dots, dashes and underscores, and begins with a letter or digit")
		}
	}
	return nil
}

// CheckSecretFile says what keeps a text from being the name of a secret's file:
// it lies below the configured directory.
func CheckSecretFile(name string) error {
	switch {
	case name == "":
		return errors.New("is missing; name the file that holds the client's secret, below transformations.secretsDir")
	case len(name) > MaxText:
		return fmt.Errorf("has %d bytes; at most %d are taken", len(name), MaxText)
	case strings.HasPrefix(name, "/") || strings.Contains(name, "\\") || path.Clean(name) != name ||
		name == "." || name == ".." || strings.HasPrefix(name, "../") || CheckText(name) != nil:
		return errors.New("is not a plain relative path below transformations.secretsDir, such as loader or team/loader")
	}
	return nil
}

// CheckText says what keeps a text from being listed or being a client's id.
func CheckText(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > MaxText:
		return fmt.Errorf("has %d bytes; at most %d are taken", len(s), MaxText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("holds characters that cannot be printed")
	}
	return nil
}
