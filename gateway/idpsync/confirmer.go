package idpsync

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// confirmEvery is how often it is looked for owners who have to be asked after.
const confirmEvery = time.Minute

// Directory reads one user of the primary issuer's realm, nil when there is none
// any more; *keycloak.Directory is one.
type Directory interface {
	Person(ctx context.Context, subject string) (*keycloak.Person, error)
}

// Accounts is Registry with what happens to those who left.
type Accounts interface {
	Registry
	DeactivateUser(ctx context.Context, a registry.Actor, id access.ID, c registry.Change) (access.User, error)
}

// Confirmer asks the provider after the owners of personal access tokens before
// what is stored of them is too old to count, and after those whose stored groups
// a token did not mention. Several replicas that ask at the same time do no harm.
type Confirmer struct {
	recorder  *Recorder
	accounts  Accounts
	directory Directory
	// within is how old a confirmation may become: those of half that age are
	// renewed, so that an outage of the provider has the other half.
	within time.Duration
	every  time.Duration
	log    *slog.Logger
}

// NewConfirmer returns a Confirmer; within is access.idpFreshness. r makes the
// names of groups out of what the provider answers.
func NewConfirmer(r *Recorder, a Accounts, d Directory, within time.Duration, log *slog.Logger) (*Confirmer, error) {
	if r == nil || a == nil || d == nil || log == nil || within <= 0 {
		return nil, errors.New("idpsync: a recorder, accounts, a directory, a freshness and a logger are required")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks = true
	return &Confirmer{recorder: r, accounts: a, directory: d, within: within, every: min(confirmEvery, within/4), log: log}, nil
}

// Run asks until ctx ends.
func (c *Confirmer) Run(ctx context.Context) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		c.confirmDue(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.recorder.ask:
		}
	}
}

// confirmDue asks after everybody who is in doubt, or whose confirmation is half as
// old as it may be.
func (c *Confirmer) confirmDue(ctx context.Context) {
	set, now := c.accounts.Snapshot().Access, c.recorder.config.Clock()
	doubted := c.recorder.doubted()
	for u := range set.UsersAfter(access.ID{}) {
		if ctx.Err() != nil {
			return
		}
		if !doubted[u.ID] && !c.due(set, u, now) {
			continue
		}
		if err := c.confirm(ctx, u); err != nil {
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "a user could not be asked after at the identity provider; it is tried again with their next token or in a while",
					"user", u.ID, "confirmed_at", u.ConfirmedAt, "error", err)
			}
			return // the provider or the store will be gone for the others, too
		}
	}
}

// due reports whether somebody owns a token and was confirmed long ago.
func (c *Confirmer) due(set *access.Set, u *access.User, now time.Time) bool {
	return u.Active && u.Issuer == c.recorder.config.Primary && now.Sub(u.ConfirmedAt) >= c.within/2 && ownsToken(set, u, now)
}

func ownsToken(set *access.Set, u *access.User, now time.Time) bool {
	for t := range set.TokensOf(u.ID) {
		if t.RevokedAt.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires)) {
			return true
		}
	}
	return false
}

func (c *Confirmer) confirm(ctx context.Context, u *access.User) error {
	asked := c.recorder.config.Clock()
	p, err := c.directory.Person(ctx, u.Subject)
	if err != nil {
		return err
	}
	if p == nil || !p.Enabled {
		why := "disabled"
		if p == nil {
			why = "gone"
		}
		c.log.WarnContext(ctx, "a user is "+why+" at the identity provider and is deactivated", "user", u.ID)
		if _, err := c.accounts.DeactivateUser(ctx, registry.Muster(), u.ID, registry.Change{}); err != nil {
			// The last administrator is not locked out; what is stored of them has
			// stopped counting all the same.
			c.log.ErrorContext(ctx, "the user could not be deactivated", "user", u.ID, "error", err)
		}
		return nil
	}
	groups := make([]string, len(p.Groups))
	for i, g := range p.Groups {
		groups[i] = c.recorder.config.GroupsPrefix + g
	}
	return c.accounts.SeenUsers(ctx, []registry.Seen{c.recorder.seen(&token.Principal{
		Issuer: u.Issuer, Subject: u.Subject, Username: u.Username, Email: p.Email, EmailVerified: p.EmailVerified,
		Groups: groups, RealmRoles: p.RealmRoles, IssuedAt: asked,
	})})
}
