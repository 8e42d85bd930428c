package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func testTokens(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	alice := see(t, s, tokenBy("alice", 1))
	in := tokenInput(alice.ID, 1)
	in.Scopes = []string{"read", "rule_step:nightly"}
	made, err := s.CreateToken(t.Context(), admin, in, sure)
	if err != nil || made.User != alice.ID || made.Digest != in.Digest || made.Prefix != in.Prefix || fmt.Sprint(made.Scopes) != fmt.Sprint(in.Scopes) ||
		!made.Expires.Equal(in.Expires.Truncate(time.Microsecond)) || !made.RevokedAt.IsZero() || !made.LastUsed.IsZero() {
		t.Fatalf("%+v %v", made, err)
	}
	if k := s.Snapshot().Access.TokenByDigest(in.Digest); k == nil || k.ID != made.ID {
		t.Errorf("%+v", k)
	}
	_, err = s.CreateToken(t.Context(), admin, in, sure)
	refused(t, err, "token_exists")
	own := registry.Actor{Username: "alice", User: alice.ID.String()}
	second := giveToken(t, s, alice.ID, 2)
	for _, c := range []struct {
		actor  registry.Actor
		id     access.ID
		action string
	}{{own, made.ID, registry.ActionTokenRevoked}, {admin, second.ID, registry.ActionTokenRevokedByAdmin}} {
		if err := s.RevokeToken(t.Context(), c.actor, c.id, sure); err != nil {
			t.Fatal(err)
		}
		k := s.Snapshot().Access.Token(c.id)
		if k.RevokedAt.IsZero() || k.RevokedBy != c.actor.Username || lastAction(t, s) != c.action {
			t.Errorf("%+v %s", k, lastAction(t, s))
		}
		before := whole(t, s)
		if err := s.RevokeToken(t.Context(), admin, c.id, sure); err != nil || whole(t, s) != before {
			t.Errorf("%v: revoking again changes nothing", err)
		}
	}
	refused(t, s.RevokeToken(t.Context(), admin, uuid.New(), sure), "not_found")
	reopened(t, s, open)
}

func testTokenMistakes(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.Clock = c.now })
	alice := see(t, s, tokenBy("alice", 1))
	for name, bad := range map[string]struct {
		code   string
		change func(in *registry.TokenInput)
	}{
		"no name":        {"bad_name", func(in *registry.TokenInput) { in.Name = "" }},
		"no scope":       {"bad_scopes", func(in *registry.TokenInput) { in.Scopes = nil }},
		"an empty scope": {"bad_scopes", func(in *registry.TokenInput) { in.Scopes = []string{" "} }},
		"no digest":      {"bad_token", func(in *registry.TokenInput) { in.Digest = [32]byte{} }},
		"too long":       {"bad_expires_at", func(in *registry.TokenInput) { in.Expires = noon.Add(registry.MaxTokenAge + time.Microsecond) }},
		"over already":   {"bad_expires_at", func(in *registry.TokenInput) { in.Expires = noon }},
	} {
		in := tokenInput(alice.ID, 1)
		in.Expires = noon.Add(registry.MaxTokenAge)
		bad.change(&in)
		_, err := s.CreateToken(t.Context(), admin, in, sure)
		if e := refused(t, err, bad.code); e.Kind != fault.Unprocessable {
			t.Errorf("%s: %v", name, e)
		}
	}
	in := tokenInput(alice.ID, 1)
	in.Expires = noon.Add(registry.MaxTokenAge)
	if _, err := s.CreateToken(t.Context(), admin, in, sure); err != nil {
		t.Errorf("%v: the longest there is", err)
	}
	in.User = uuid.New()
	in.Digest[0]++
	_, err := s.CreateToken(t.Context(), admin, in, sure)
	refused(t, err, "user_not_found")
}
