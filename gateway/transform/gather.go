package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
)

// given is what a worker is given: the body of the contract, with the arrays that
// the step asks for, in the contract's order.
type given struct {
	Users         *[]string       `json:"users,omitempty"`
	Clients       *[]string       `json:"clients,omitempty"`
	Groups        *[]string       `json:"groups,omitempty"`
	Entities      *[]entity       `json:"entities,omitempty"`
	Relationships *[]relationship `json:"relationships,omitempty"`
}

type entity struct {
	ID         rule.ID    `json:"id"`
	Title      string     `json:"title"`
	Properties []property `json:"properties"`
}

type property struct {
	ID    rule.ID `json:"id"`
	Title string  `json:"title"`
}

type relationship struct {
	ID    rule.ID `json:"id"`
	From  string  `json:"entityNameFrom"`
	To    string  `json:"entityNameTo"`
	Name  string  `json:"name"`
	Alias string  `json:"alias"`
}

// body is the request's body; nothing in it is escaped that JSON lets stand.
func (g *given) body() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(g); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// gather reads what the step asks for: users, groups and clients from Keycloak,
// entities and relationships from the graph model.
func (a *attempt) gather(ctx context.Context) (*given, error) {
	var g given
	realm := a.engine.deps.Realm
	for _, kind := range []struct {
		name   string
		choice run.Choice[string]
		read   func(context.Context) ([]string, error)
		key    func(string) string
		to     **[]string
	}{
		{"users", a.step.Users, realm.Users, strings.ToLower, &g.Users},
		{"groups", a.step.Groups, realm.Groups, groupKey, &g.Groups},
		{"clients", a.step.Clients, realm.ServiceAccounts, clientKey, &g.Clients},
	} {
		if !kind.choice.Wanted() {
			continue
		}
		all, err := kind.read(ctx)
		if err != nil {
			return nil, err
		}
		chosen, missing := choose(all, kind.choice, kind.key)
		a.line(ctx, "%d of %d %s of Keycloak%s", len(chosen), len(all), kind.name, notThere(missing))
		*kind.to = &chosen
	}
	a.fromModel(ctx, &g)
	return &g, nil
}

// groupKey is a path without one leading slash.
func groupKey(s string) string { return strings.TrimPrefix(s, "/") }

// clientKey is a client's id, which its service account is named after.
func clientKey(s string) string {
	return strings.ToLower(strings.TrimPrefix(s, "service-account-"))
}

// choose picks what a step asks for, in the order of all, and says what of its
// list is not there.
func choose(all []string, c run.Choice[string], key func(string) string) (chosen, missing []string) {
	if c.All {
		return slices.Clone(all), nil
	}
	chosen = []string{}
	wanted := make(map[string]bool, len(c.List))
	for _, one := range c.List {
		wanted[key(one)] = true
	}
	there := map[string]bool{}
	for _, one := range all {
		if k := key(one); wanted[k] {
			chosen, there[k] = append(chosen, one), true
		}
	}
	for _, one := range c.List {
		if !there[key(one)] {
			missing = append(missing, one)
		}
	}
	return chosen, missing
}

// shownMissing is how many of the things that are not there the log names.
const shownMissing = 10

func notThere[T any](missing []T) string {
	if len(missing) == 0 {
		return ""
	}
	texts := make([]string, 0, shownMissing+1)
	for i, one := range missing {
		if i == shownMissing {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, fmt.Sprint(one))
	}
	return fmt.Sprintf("; %d that the step lists are not there and left out: %s", len(missing), strings.Join(texts, ", "))
}

func (a *attempt) fromModel(ctx context.Context, g *given) {
	m := a.engine.deps.Registry.Snapshot().Model
	if c := a.step.Entities; c.Wanted() {
		chosen := []entity{}
		there := map[int64]bool{}
		for _, e := range m.Entities {
			if !c.Has(int64(e.ID)) {
				continue
			}
			there[int64(e.ID)] = true
			one := entity{ID: e.ID, Title: e.Title, Properties: make([]property, 0, len(e.Properties))}
			for _, p := range e.Properties {
				one.Properties = append(one.Properties, property{p.ID, p.Title})
			}
			chosen = append(chosen, one)
		}
		a.line(ctx, "%d of %d entities of the graph model%s", len(chosen), len(m.Entities), notThere(unknown(c, there)))
		g.Entities = &chosen
	}
	if c := a.step.Relationships; c.Wanted() {
		chosen := []relationship{}
		there := map[int64]bool{}
		for _, r := range m.Relationships {
			if c.Has(int64(r.ID)) {
				there[int64(r.ID)] = true
				chosen = append(chosen, relationship{r.ID, r.From, r.To, r.Name, r.Alias})
			}
		}
		a.line(ctx, "%d of %d relationships of the graph model%s", len(chosen), len(m.Relationships), notThere(unknown(c, there)))
		g.Relationships = &chosen
	}
}

func unknown(c run.Choice[int64], there map[int64]bool) (missing []int64) {
	for _, id := range c.List {
		if !there[id] {
			missing = append(missing, id)
		}
	}
	return missing
}
