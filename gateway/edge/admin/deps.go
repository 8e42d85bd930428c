package admin

import (
	"context"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/table"
)

// Groups change groups and their members; *registry.Service does.
type Groups interface {
	CreateGroup(ctx context.Context, actor registry.Actor, g access.Group, c registry.Change) (access.Group, error)
	UpdateGroup(ctx context.Context, actor registry.Actor, id access.ID, p registry.GroupPatch, c registry.Change) (access.Group, error)
	DeleteGroup(ctx context.Context, actor registry.Actor, id access.ID, c registry.Change) error
	AddMember(ctx context.Context, actor registry.Actor, group access.ID, user string, c registry.Change) (access.Member, access.User, error)
	RemoveMember(ctx context.Context, actor registry.Actor, group, user access.ID, c registry.Change) ([]access.Source, error)
}

// Grants change grants; *registry.Service does.
type Grants interface {
	CreateGrant(ctx context.Context, actor registry.Actor, g access.Grant, c registry.Change) (access.Grant, error)
	DeleteGrant(ctx context.Context, actor registry.Actor, id access.ID, c registry.Change) error
}

// Users change users; *registry.Service does.
type Users interface {
	DeactivateUser(ctx context.Context, actor registry.Actor, id access.ID, c registry.Change) (access.User, error)
	ActivateUser(ctx context.Context, actor registry.Actor, id access.ID, c registry.Change) (access.User, error)
}

// Tokens change personal access tokens; *registry.Service does.
type Tokens interface {
	CreateToken(ctx context.Context, actor registry.Actor, in registry.TokenInput, c registry.Change) (access.Token, error)
	RevokeToken(ctx context.Context, actor registry.Actor, id access.ID, c registry.Change) error
}

// Tables read and change the registry of tables; *registry.Service does.
type Tables interface {
	RegisterTable(ctx context.Context, actor registry.Actor, f registry.TableFields, c registry.Change) (table.Table, error)
	UpdateTable(ctx context.Context, actor registry.Actor, id string, f registry.TableFields, c registry.Change) (table.Table, []string, error)
	DeleteTable(ctx context.Context, actor registry.Actor, id string, c registry.Change) error
	Table(ctx context.Context, id string) (*table.Table, error)
	Tables(ctx context.Context, q registry.TableQuery) (tables []*table.Table, count int, err error)
}

// State is what is known; *registry.Service has it.
type State interface {
	Snapshot() *registry.Snapshot
}

// Registry is all of them; *registry.Service is one.
type Registry interface {
	Groups
	Grants
	Users
	Tokens
	Tables
	State
}

// Directory lists the groups of the identity provider, by whole path;
// *keycloak.Directory does.
type Directory interface {
	Groups(ctx context.Context) ([]string, error)
}
