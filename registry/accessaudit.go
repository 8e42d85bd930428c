package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// The names of actions of access control in the audit log. Those that other systems
// of groups and grants have as well are called as they are there.
const (
	ActionGroupCreated        = "user_group.created"
	ActionGroupUpdated        = "user_group.updated"
	ActionGroupDeleted        = "user_group.deleted"
	ActionMemberAdded         = "user_group.member_added"
	ActionMemberRemoved       = "user_group.member_removed"
	ActionGroupsSynced        = "user_group.synced"
	ActionGrantCreated        = "resource_grant.created"
	ActionGrantDeleted        = "resource_grant.deleted"
	ActionUserCreated         = "user.created"
	ActionUserBound           = "user.bound"
	ActionUserUpdated         = "user.updated"
	ActionUserActivated       = "user.activated"
	ActionUserDeactivated     = "user.deactivated"
	ActionTokenCreated        = "token.create"
	ActionTokenRevoked        = "token.revoke"
	ActionTokenRevokedByAdmin = "token.admin_revoke" //nolint:gosec // the name of an action, no token
	ActionTokenNewAddress     = "token.first_use_new_ip"
	ActionSeedAdmin           = "seed_admin.grant_admin"
	ActionBreakGlass          = "break_glass.grant_admin"
	// ActionRefusedMore counts refusals that were too many to be told one by one.
	ActionRefusedMore = "access.refused"
)

// resultRefused is the result of what was asked for and not done, for several
// reasons; else the code of the refusal is.
const resultRefused = "refused"

func groupResource(id access.ID) string { return "group:" + id.String() }
func grantResource(id access.ID) string { return "grant:" + id.String() }
func userResource(id access.ID) string  { return "user:" + id.String() }
func tokenResource(id access.ID) string { return "token:" + id.String() }

// write appends the row, at a time unless it has its own.
func (r *accessRow) write(ctx context.Context, tx Tx, at time.Time) error {
	if !r.at.IsZero() {
		at = r.at
	}
	return auditResult(ctx, tx, r.actor, r.action, r.resource, r.result, at, r.before, r.after)
}

type userJSON struct {
	ID            access.ID   `json:"id"`
	Issuer        string      `json:"issuer,omitempty"`
	Subject       string      `json:"subject,omitempty"`
	Email         string      `json:"email,omitempty"`
	Username      string      `json:"username,omitempty"`
	Name          string      `json:"name,omitempty"`
	Active        bool        `json:"active"`
	DeactivatedAt *time.Time  `json:"deactivated_at,omitempty"`
	DeactivatedBy string      `json:"deactivated_by,omitempty"`
	CreatedAt     time.Time   `json:"created_at"`
	UpdatedAt     time.Time   `json:"updated_at"`
	Revision      int64       `json:"revision"`
	RevokedTokens *digestJSON `json:"revoked_tokens,omitempty"`
	// Merged is the record made by e-mail whose memberships this one took over.
	Merged *access.ID `json:"merged,omitempty"`
}

type groupJSON struct {
	ID          access.ID `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	IsSystem    bool      `json:"is_system"`
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by"`
	UpdatedAt   time.Time `json:"updated_at"`
	Revision    int64     `json:"revision"`
	// Members and Grants are what a deletion took along.
	Members *digestJSON `json:"members,omitempty"`
	Grants  *digestJSON `json:"grants,omitempty"`
}

type memberJSON struct {
	UserID    access.ID     `json:"user_id"`
	Email     string        `json:"email,omitempty"`
	Username  string        `json:"username,omitempty"`
	GroupID   access.ID     `json:"group_id"`
	GroupName string        `json:"group_name"`
	Source    access.Source `json:"source"`
	AddedAt   time.Time     `json:"added_at"`
	AddedBy   string        `json:"added_by"`
}

type grantJSON struct {
	ID           access.ID  `json:"id"`
	GroupID      access.ID  `json:"group_id"`
	GroupName    string     `json:"group_name"`
	ResourceType string     `json:"resource_type"`
	ResourceID   string     `json:"resource_id"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	AssignedAt   time.Time  `json:"assigned_at"`
	AssignedBy   string     `json:"assigned_by"`
}

type tokenJSON struct {
	ID        access.ID  `json:"id"`
	UserID    access.ID  `json:"user_id"`
	Name      string     `json:"name"`
	Prefix    string     `json:"prefix"`
	Scopes    []string   `json:"scopes"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	RevokedBy string     `json:"revoked_by,omitempty"`
}

// digestJSON tells of many records by their number and a digest: the SHA-256 over
// the words of each and a zero byte behind every word, sorted.
type digestJSON struct {
	Count  int    `json:"count"`
	SHA256 string `json:"sha256,omitempty"`
}

// atOrNil leaves the zero time out.
func atOrNil(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

func userForAudit(u *access.User) *userJSON {
	return &userJSON{
		ID: u.ID, Issuer: u.Issuer, Subject: u.Subject, Email: u.Email, Username: u.Username, Name: u.Name,
		Active: u.Active, DeactivatedAt: atOrNil(u.DeactivatedAt), DeactivatedBy: u.DeactivatedBy,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, Revision: u.Revision,
	}
}

func groupForAudit(g *access.Group) *groupJSON {
	return &groupJSON{
		ID: g.ID, Name: g.Name, Description: g.Description, IsSystem: g.System, CreatedAt: g.CreatedAt,
		CreatedBy: g.CreatedBy, UpdatedAt: g.UpdatedAt, Revision: g.Revision,
	}
}

// memberForAudit takes the names from a set that has user and group.
func memberForAudit(set *access.Set, m *access.Member) *memberJSON {
	out := &memberJSON{
		UserID: m.User, GroupID: m.Group, Source: m.Source, AddedAt: m.AddedAt, AddedBy: m.AddedBy,
		GroupName: groupName(set, m.Group),
	}
	if u := set.User(m.User); u != nil {
		out.Email, out.Username = u.Email, u.Username
	}
	return out
}

func grantForAudit(set *access.Set, g *access.Grant) *grantJSON {
	return &grantJSON{
		ID: g.ID, GroupID: g.Group, GroupName: groupName(set, g.Group), ResourceType: g.Type, ResourceID: g.Resource,
		ExpiresAt: atOrNil(g.Expires), AssignedAt: g.AssignedAt, AssignedBy: g.AssignedBy,
	}
}

func tokenForAudit(t *access.Token) *tokenJSON {
	return &tokenJSON{
		ID: t.ID, UserID: t.User, Name: t.Name, Prefix: t.Prefix, Scopes: t.Scopes, CreatedAt: t.CreatedAt,
		ExpiresAt: atOrNil(t.Expires), RevokedAt: atOrNil(t.RevokedAt), RevokedBy: t.RevokedBy,
	}
}

func groupName(set *access.Set, id access.ID) string {
	if g := set.Group(id); g != nil {
		return g.Name
	}
	return ""
}

// digestOf tells of records that are named by words.
func digestOf(all [][2]string) *digestJSON {
	if len(all) == 0 {
		return &digestJSON{}
	}
	slices.SortFunc(all, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	sum := sha256.New()
	for _, words := range all {
		writeName(sum, words[0])
		writeName(sum, words[1])
	}
	return &digestJSON{len(all), hex.EncodeToString(sum.Sum(nil))}
}

// membersDigest is over each member's id and source.
func membersDigest(set *access.Set, group access.ID) *digestJSON {
	var all [][2]string
	for m := range set.MembersOf(group, access.MemberKey{}) {
		all = append(all, [2]string{m.User.String(), string(m.Source)})
	}
	return digestOf(all)
}

// grantsDigest is over each grant's type and resource.
func grantsDigest(set *access.Set, group access.ID) *digestJSON {
	var all [][2]string
	for g := range set.GrantsOf(group) {
		all = append(all, [2]string{g.Type, g.Resource})
	}
	return digestOf(all)
}

// idsDigest is over each id, with an empty second word; nil for none.
func idsDigest(ids []access.ID) *digestJSON {
	if len(ids) == 0 {
		return nil
	}
	all := make([][2]string, len(ids))
	for i, id := range ids {
		all[i][0] = id.String()
	}
	return digestOf(all)
}
