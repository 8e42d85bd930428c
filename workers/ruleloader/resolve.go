package ruleloader

import (
	"strings"

	"github.com/muster-fleet/muster/workers/worker"
)

// model is what the step sent, laid out for looking up. A map is nil when its list
// was not sent: then nothing is known of the kind, and nothing is skipped for it.
type model struct {
	users, groups, clients map[string]string // key -> the step's spelling
	byTitle                map[string]*entity
	byID                   map[int64]*entity
	relationships          []worker.TransformRelationship
	hasRelationships       bool
	relationshipIDs        map[int64]bool
}

type entity struct {
	id         int64
	title      string
	properties map[string]int64
	ids        map[int64]bool
	all        []int64
}

func newModel(r *worker.TransformRequest) *model {
	m := &model{
		users:   spellings(r.Users, userKey),
		groups:  spellings(r.Groups, groupKey),
		clients: spellings(r.Clients, clientKey),
	}
	if r.Entities != nil {
		m.byTitle, m.byID = map[string]*entity{}, map[int64]*entity{}
	}
	for _, e := range r.Entities {
		out := &entity{id: e.ID, title: e.Title, properties: map[string]int64{}, ids: map[int64]bool{}}
		for _, p := range e.Properties {
			out.properties[p.Title] = p.ID
			out.ids[p.ID] = true
			out.all = append(out.all, p.ID)
		}
		m.byTitle[e.Title], m.byID[e.ID] = out, out
	}
	m.relationships, m.hasRelationships = r.Relationships, r.Relationships != nil
	m.relationshipIDs = map[int64]bool{}
	for _, l := range r.Relationships {
		m.relationshipIDs[l.ID] = true
	}
	return m
}

func spellings(list []string, key func(string) string) map[string]string {
	if list == nil {
		return nil
	}
	out := make(map[string]string, len(list))
	for _, s := range list {
		out[key(s)] = s
	}
	return out
}

// The subjects are compared as the gateway compares them: names of users without
// regard to case, group paths without one leading slash, clients by their id or by
// the name of their service account.
func userKey(s string) string   { return strings.ToLower(s) }
func groupKey(s string) string  { return strings.TrimPrefix(s, "/") }
func clientKey(s string) string { return strings.TrimPrefix(s, "service-account-") }

// known returns the step's spelling; a name that the step did not send is not ok.
func known(sent map[string]string, key func(string) string, name string) (string, bool) {
	if sent == nil {
		return name, true
	}
	s, ok := sent[key(name)]
	return s, ok
}

// aliases returns the ids of the relationships that a text names for an entity: an
// alias, of those that begin or end at the entity, or From:ALIAS:To.
func (m *model) aliases(text string, e *entity) (ids []int64) {
	parts := strings.Split(text, ":")
	for _, l := range m.relationships {
		switch {
		case len(parts) == 3 && l.From == parts[0] && l.Alias == parts[1] && l.To == parts[2],
			l.Alias == text && e != nil && (l.From == e.title || l.To == e.title):
			ids = append(ids, l.ID)
		}
	}
	return ids
}
