package access

import (
	"time"

	"github.com/google/uuid"
)

// ID identifies a user, group, grant or token; new ones are UUIDv7.
type ID = uuid.UUID

// Source says who wrote a membership. It is part of a membership's key, so that
// each writer touches its own alone.
type Source string

// The sources.
const (
	// SourceAdmin is a person with the right to, by REST or CLI. Only these can be
	// removed in the same way.
	SourceAdmin Source = "admin"
	// SourceSync is the identity provider, by the groups claim of tokens.
	SourceSync Source = "idp_sync"
	// SourceSeed is the start of a gateway that was told who the first admin is.
	SourceSeed Source = "system_seed"
	// SourceBreakGlass is the command that works on the store itself.
	SourceBreakGlass Source = "break_glass"
)

// The names of the system groups, which are never renamed or deleted.
const (
	// Admin may do everything.
	Admin = "Admin"
	// Everyone has every user as a member, without rows.
	Everyone = "Everyone"
)

// User is somebody, or a service account, who was seen by a token or was made by
// an e-mail address.
type User struct {
	ID ID
	// Issuer and Subject are the key of a user who was seen; both are empty until
	// the first token binds one that was made by e-mail.
	Issuer, Subject string
	// Email is as it was written, empty when unknown. It is compared folded, and
	// unique among users who are not bound.
	Email    string
	Username string
	// Name is what people read beside the username; may be empty.
	Name   string
	Active bool
	// DeactivatedAt and DeactivatedBy are zero while Active.
	DeactivatedAt time.Time
	DeactivatedBy string
	// SyncedAt is the iat of the newest token whose groups were stored; zero before
	// the first.
	SyncedAt time.Time
	// ConfirmedAt is when the stored groups of the identity provider were last
	// found true, by a token or by asking it.
	ConfirmedAt          time.Time
	CreatedAt, UpdatedAt time.Time
	// Revision counts the changes of the record itself.
	Revision int64
}

// Bound reports whether the user has been seen by a token.
func (u *User) Bound() bool { return u.Subject != "" }

// Group is a set of users that grants are given to.
type Group struct {
	ID          ID
	Name        string
	Description string
	// System groups cannot be renamed or deleted.
	System               bool
	CreatedAt, UpdatedAt time.Time
	CreatedBy            string
	Revision             int64
}

// MemberKey is a membership's key.
type MemberKey struct {
	User, Group ID
	Source      Source
}

// Member is one membership by one source.
type Member struct {
	MemberKey
	AddedAt time.Time
	AddedBy string
}

// Grant lets the members of a group reach a resource. Group, Type and Resource
// are unique together.
type Grant struct {
	ID       ID
	Group    ID
	Type     string
	Resource string
	// Expires ends the grant by itself; zero when there is no end.
	Expires    time.Time
	AssignedAt time.Time
	AssignedBy string
}

// InForce reports whether the grant holds at a time.
func (g *Grant) InForce(now time.Time) bool { return g.Expires.IsZero() || now.Before(g.Expires) }

// Token is a personal access token, of which only the digest is known.
type Token struct {
	ID   ID
	User ID
	Name string
	// Digest is the SHA-256 of the token as it is sent.
	Digest [32]byte
	// Prefix is what people recognise a token by: its first 8 characters after mst_.
	Prefix string
	// Scopes narrow what the owner may; never empty: "read", "admin" or "type:id".
	Scopes    []string
	CreatedAt time.Time
	// Expires is zero for a token without end.
	Expires time.Time
	// RevokedAt and RevokedBy are zero while it is good.
	RevokedAt time.Time
	RevokedBy string
	// LastUsed and LastAddress are known to the minute; zero before the first use.
	LastUsed    time.Time
	LastAddress string
}

// Delta is a change of a Set, or, from an empty one, everything there is. A
// group's deletion takes its members and grants along, which are then not listed;
// so does a user's with their memberships and tokens. Puts replace what has the
// same key.
type Delta struct {
	Users   []User
	Groups  []Group
	Members []Member
	Grants  []Grant
	Tokens  []Token

	GoneUsers   []ID
	GoneGroups  []ID
	GoneMembers []MemberKey
	GoneGrants  []ID
	GoneTokens  []ID
}

// Empty reports whether the delta changes nothing.
func (d *Delta) Empty() bool {
	return d == nil || len(d.Users)+len(d.Groups)+len(d.Members)+len(d.Grants)+len(d.Tokens)+len(d.GoneUsers)+
		len(d.GoneGroups)+len(d.GoneMembers)+len(d.GoneGrants)+len(d.GoneTokens) == 0
}
