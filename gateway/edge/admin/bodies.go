package admin

import (
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/registry/access"
)

// The types below describe bodies for OpenAPI. What is read is read by hand, in
// input.go, and a test holds the two equal.

// GroupInput is the body of POST /api/admin/groups.
type GroupInput struct {
	Name        string  `json:"name" doc:"Compared exactly; taken names are refused."`
	Description *string `json:"description,omitempty"`
}

// GroupChange is the body of PATCH /api/admin/groups/{id}; what is left out stays.
type GroupChange struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
}

// Group is a group as the API shows it.
type Group struct {
	ID          string    `json:"id" format:"uuid"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	IsSystem    bool      `json:"is_system" doc:"Whether it can neither be renamed nor deleted."`
	Origin      string    `json:"origin" enum:"system,admin,idp_sync" doc:"Who made it."`
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by"`
	MemberCount int       `json:"member_count" doc:"Users, whatever the number of their sources; in Everyone, all there are."`
	GrantCount  int       `json:"grant_count"`
}

// GroupPage is one page of groups.
type GroupPage struct {
	Items      []Group `json:"items" nullable:"false" doc:"Ordered by name."`
	NextCursor string  `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// MemberInput is the body of POST /api/admin/groups/{id}/members.
type MemberInput struct {
	Email string `json:"email" doc:"A user's e-mail, in any case, or the user's id."`
}

// Member is one membership of a group, by one source.
type Member struct {
	UserID   string    `json:"user_id" format:"uuid"`
	Email    string    `json:"email" doc:"Empty when unknown."`
	Username string    `json:"username"`
	Name     string    `json:"name"`
	Active   bool      `json:"active"`
	Source   string    `json:"source" enum:"admin,idp_sync,system_seed,break_glass,everyone"`
	AddedAt  time.Time `json:"added_at"`
	AddedBy  string    `json:"added_by"`
}

// MemberPage is one page of memberships.
type MemberPage struct {
	Items      []Member `json:"items" nullable:"false" doc:"Ordered by user, then source: who is a member by two sources stands there twice."`
	NextCursor string   `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// Remaining is what is left of a membership by other sources.
type Remaining struct {
	Sources []access.Source `json:"remaining_sources" nullable:"false" doc:"Which keep the user a member."`
}

// GrantInput is the body of POST /api/admin/grants.
type GrantInput struct {
	GroupID      string     `json:"group_id" format:"uuid"`
	ResourceType string     `json:"resource_type" doc:"A key of /api/admin/resource-types."`
	ResourceID   string     `json:"resource_id" doc:"Of the type's id_format; \"*\" for all where the type allows it. Blanks around it are dropped."`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"In the future; without end when left out or null."`
}

// Grant is a grant as the API shows it.
type Grant struct {
	ID           string     `json:"id" format:"uuid"`
	GroupID      string     `json:"group_id" format:"uuid"`
	GroupName    string     `json:"group_name"`
	ResourceType string     `json:"resource_type"`
	ResourceID   string     `json:"resource_id"`
	ExpiresAt    *time.Time `json:"expires_at" nullable:"true"`
	AssignedAt   time.Time  `json:"assigned_at"`
	AssignedBy   string     `json:"assigned_by"`
}

// GrantPage is one page of grants.
type GrantPage struct {
	Items      []Grant `json:"items" nullable:"false" doc:"Ordered by id, which is by age. What has expired stands there until it is deleted."`
	NextCursor string  `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// User is a user as the API shows it.
type User struct {
	ID            string     `json:"id" format:"uuid"`
	Issuer        string     `json:"issuer" doc:"Empty until the first login of a user who was made by e-mail; so is subject."`
	Subject       string     `json:"subject"`
	Email         string     `json:"email" doc:"Empty when unknown."`
	Username      string     `json:"username"`
	Name          string     `json:"name"`
	Active        bool       `json:"active"`
	IsAdmin       bool       `json:"is_admin" doc:"By a stored membership of any source."`
	DeactivatedAt *time.Time `json:"deactivated_at" nullable:"true"`
	DeactivatedBy string     `json:"deactivated_by"`
	SyncedAt      *time.Time `json:"synced_at" nullable:"true" doc:"When the token was issued whose groups are stored."`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

// UserPage is one page of users.
type UserPage struct {
	Items      []User `json:"items" nullable:"false" doc:"Ordered by id, which is by age."`
	NextCursor string `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// MembershipInput is the body of POST /api/admin/users/{id}/memberships.
type MembershipInput struct {
	GroupID string `json:"group_id" format:"uuid"`
}

// Membership is one membership of a user, by one source.
type Membership struct {
	GroupID   string    `json:"group_id" format:"uuid"`
	GroupName string    `json:"group_name"`
	IsSystem  bool      `json:"is_system"`
	Source    string    `json:"source" enum:"admin,idp_sync,system_seed,break_glass,everyone"`
	AddedAt   time.Time `json:"added_at"`
	AddedBy   string    `json:"added_by"`
}

// MembershipPage is one page of a user's memberships.
type MembershipPage struct {
	Items      []Membership `json:"items" nullable:"false" doc:"Ordered by group name, then source."`
	NextCursor string       `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// ViaGroup is a group that a right comes from.
type ViaGroup struct {
	GroupID   string `json:"group_id" format:"uuid"`
	GroupName string `json:"group_name"`
}

// Reach is a resource that somebody may reach, and why.
type Reach struct {
	ResourceType string     `json:"resource_type"`
	ResourceID   string     `json:"resource_id" doc:"\"*\" for all of the type."`
	ViaGroups    []ViaGroup `json:"via_groups" nullable:"false" doc:"Ordered by name."`
}

// EffectiveAccess is what somebody may reach.
type EffectiveAccess struct {
	IsAdmin    bool    `json:"is_admin" doc:"May reach everything; items is empty then."`
	Items      []Reach `json:"items" nullable:"false" doc:"Ordered by resource type, then resource id."`
	NextCursor string  `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// Holder is a user who may reach a resource, and why.
type Holder struct {
	UserID    string     `json:"user_id" format:"uuid"`
	Email     string     `json:"email"`
	Username  string     `json:"username"`
	Name      string     `json:"name"`
	ViaGroups []ViaGroup `json:"via_groups" nullable:"false" doc:"Ordered by name; Admin among them for admins."`
}

// HolderPage is one page of those who may reach a resource.
type HolderPage struct {
	Items      []Holder `json:"items" nullable:"false" doc:"Active users, ordered by id."`
	NextCursor string   `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// ResourceType is a kind of resource that can be granted.
type ResourceType struct {
	Key         string `json:"key"`
	DisplayName string `json:"display_name"`
	Description string `json:"description"`
	IDFormat    string `json:"id_format" doc:"What a resource_id of this type is, in words."`
	Wildcard    bool   `json:"wildcard" doc:"Whether \"*\" may be granted, for all of them."`
}

// ResourceTypes are all there are.
type ResourceTypes struct {
	Items      []ResourceType `json:"items" nullable:"false"`
	NextCursor string         `json:"nextCursor" doc:"Always empty: there are few."`
}

// Overview is what a page on which grants are given needs.
type Overview struct {
	Groups    []Group         `json:"groups" nullable:"false" doc:"Ordered by name."`
	Grants    []Grant         `json:"grants" nullable:"false" doc:"Ordered by id."`
	Resources []TypeResources `json:"resources" nullable:"false"`
	Complete  bool            `json:"complete" doc:"Whether nothing was left out: at most 10000 groups and 10000 grants are told; the lists tell the rest."`
}

// TypeResources are the resources of one type, in blocks.
type TypeResources struct {
	TypeKey     string        `json:"type_key"`
	TypeDisplay string        `json:"type_display"`
	Blocks      []authz.Block `json:"blocks" nullable:"false"`
}

// Suggestion is a group of the identity provider that is none here yet.
type Suggestion struct {
	Name   string `json:"name"`
	Source string `json:"source" enum:"keycloak"`
}

// SuggestionPage is one page of suggestions.
type SuggestionPage struct {
	Items      []Suggestion `json:"items" nullable:"false" doc:"Ordered by name; none when the identity provider cannot be asked."`
	NextCursor string       `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// TokenInput is the body of POST /api/tokens.
type TokenInput struct {
	Name          string    `json:"name"`
	ExpiresInDays *int      `json:"expires_in_days,omitempty" minimum:"1" maximum:"3650" doc:"90 when left out; null for a token without end, where that is allowed."`
	Scopes        *[]string `json:"scopes,omitempty" doc:"\"read\", \"admin\", or \"type:id\" of what the owner may reach; [\"read\"] when left out."`
}

// Token is a personal access token as the API shows it.
type Token struct {
	ID         string     `json:"id" format:"uuid"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix" doc:"The first 8 characters after mst_."`
	Scopes     []string   `json:"scopes" nullable:"false"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at" nullable:"true" doc:"null for a token without end."`
	LastUsedAt *time.Time `json:"last_used_at" nullable:"true" doc:"To the minute; null before the first use."`
	LastUsedIP string     `json:"last_used_ip"`
	RevokedAt  *time.Time `json:"revoked_at" nullable:"true"`
}

// NewToken is the answer to who makes a token.
type NewToken struct {
	Token
	Secret string `json:"token" doc:"The token itself, which is shown this once."`
}

// TokenPage is one page of one's own tokens.
type TokenPage struct {
	Items      []Token `json:"items" nullable:"false" doc:"Ordered by id, which is by age; revoked and expired ones among them."`
	NextCursor string  `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// OwnedToken is a token with its owner.
type OwnedToken struct {
	Token
	UserID    string `json:"user_id" format:"uuid"`
	Email     string `json:"email"`
	Username  string `json:"username"`
	RevokedBy string `json:"revoked_by"`
}

// OwnedTokenPage is one page of everybody's tokens.
type OwnedTokenPage struct {
	Items      []OwnedToken `json:"items" nullable:"false" doc:"Ordered by owner, then id."`
	NextCursor string       `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// Me is who is calling.
type Me struct {
	UserID   string     `json:"user_id" doc:"Empty in the first moments after a first login."`
	Issuer   string     `json:"issuer"`
	Subject  string     `json:"subject"`
	Username string     `json:"username"`
	Email    string     `json:"email"`
	Name     string     `json:"name"`
	IsAdmin  bool       `json:"is_admin" doc:"With these credentials: a token may be for less than its owner."`
	Groups   []ViaGroup `json:"groups" nullable:"false" doc:"That count for these credentials; ordered by name."`
	Token    *Token     `json:"token,omitempty" doc:"The personal access token that was used; left out for a login."`
}
