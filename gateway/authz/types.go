package authz

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/registry/table"
)

// The keys of the resource types.
const (
	TypeWorker            = "worker"
	TypeWorkerType        = "worker_type"
	TypeRuleStep          = "rule_step"
	TypeGraphRules        = "graph_rules"
	TypeConnector         = "connector"
	TypeDataset           = "dataset"
	TypeExplain           = "explain"
	TypeMarketplacePlugin = "marketplace_plugin"
)

// The resources of the types that have a fixed set of them.
const (
	// RulesRead and RulesWrite are those of TypeGraphRules; write implies read.
	RulesRead  = "read"
	RulesWrite = "write"
	// ExplainFilter is that of TypeExplain.
	ExplainFilter = "filter"
)

// Wildcard stands in a grant for every resource of a type that allows it.
const Wildcard = "*"

// Codes of refusals.
const (
	codeDenied        = "denied"
	codeExplainDenied = "explain_denied"
	codeNotFound      = "not_found"
)

// Type is a kind of resource that can be granted. An entry of Standard is all
// that a new one takes: the REST API, the command line and the console list what
// they find there.
type Type struct {
	// Key is what grants hold, Display what people read.
	Key, Display, Description string
	// IDFormat says in words what Check takes.
	IDFormat string
	// Check returns an id as grants hold it, or what is wrong with it, to be read
	// after the id. It is not asked about the wildcard.
	Check func(id string) (string, error)
	// Wildcard allows a grant on "*".
	Wildcard bool
	// Implied names, for a resource, another one whose grant covers it as well.
	Implied map[string]string
	// Blocks lists what there is to be granted. It is for administrators' pages and
	// may read the store.
	Blocks func(ctx context.Context, f Facts) ([]Block, error)
	// Missing is the answer to whoever asks for a resource that is not there, and so
	// to whoever may not see it. It is nil for types whose lack is told instead: by
	// 403 with Code, about What.
	Missing    func(id string) error
	Code, What string
}

// Facts are what blocks are made from.
type Facts struct {
	// Snapshot is required.
	Snapshot *registry.Snapshot
	// Steps returns rule transformations behind a name, ordered by name; nil when
	// there are none.
	Steps func(ctx context.Context, after string, limit int) ([]*run.Step, error)
	// Tables returns registered tables, ordered by id, and how many there are; nil when
	// there are none.
	Tables func(ctx context.Context, q registry.TableQuery) ([]*table.Table, int, error)
	// Plugins are the configured plugins of marketplaces, as slug/plugin.
	Plugins []string
}

// Block is a part of a type's resources under a heading.
type Block struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Items []Item `json:"items" nullable:"false"`
}

// Item is one resource.
type Item struct {
	ResourceID  string `json:"resource_id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Types are the resource types of a gateway, in the order of their entries. They
// are immutable.
type Types struct {
	list  []*Type
	byKey map[string]*Type
}

// NewTypes returns the types of a list, such as Standard's. It refuses one that is
// incomplete or whose key is taken.
func NewTypes(list ...Type) (*Types, error) {
	t := &Types{byKey: make(map[string]*Type, len(list))}
	for i := range list {
		one := &list[i]
		switch {
		case one.Key == "" || one.Display == "" || one.Description == "" || one.IDFormat == "":
			return nil, fmt.Errorf("authz: resource type %d (%q) lacks its key, display name, description or id format", i, one.Key)
		case one.Check == nil || one.Blocks == nil:
			return nil, fmt.Errorf("authz: resource type %q lacks its check or its blocks", one.Key)
		case (one.Missing == nil) == (one.Code == ""):
			return nil, fmt.Errorf("authz: resource type %q needs either Missing or a Code", one.Key)
		case t.byKey[one.Key] != nil:
			return nil, fmt.Errorf("authz: resource type %q stands there twice", one.Key)
		}
		t.list = append(t.list, one)
		t.byKey[one.Key] = one
	}
	return t, nil
}

// All returns the types in their order. The slice must not be changed.
func (t *Types) All() []*Type { return t.list }

// Type returns the type of a key, or nil.
func (t *Types) Type(key string) *Type { return t.byKey[key] }

// Keys returns the types' keys, sorted.
func (t *Types) Keys() []string { return slices.Sorted(maps.Keys(t.byKey)) }

// CheckGrant returns a resource id as a grant is to hold it: trimmed, and in the
// one form in which it is compared. Its error is a *fault.Error of kind Invalid
// with the code unknown_type, or of kind Unprocessable with bad_resource_id.
func (t *Types) CheckGrant(key, id string) (string, error) {
	typ := t.byKey[key]
	if typ == nil {
		return "", fault.New(fault.Invalid, "unknown_type", "there is no resource type %q; there are %s", key, strings.Join(t.Keys(), ", "))
	}
	id = strings.TrimSpace(id)
	if id == Wildcard {
		if typ.Wildcard {
			return id, nil
		}
		return "", badResource(typ, id, "cannot be granted as a whole")
	}
	canonical, err := typ.Check(id)
	if err != nil {
		return "", badResource(typ, id, err.Error())
	}
	return canonical, nil
}

func badResource(t *Type, id, why string) error {
	return fault.New(fault.Unprocessable, "bad_resource_id", "the resource_id %q of type %s %s; it is %s", id, t.Key, why, t.IDFormat)
}
