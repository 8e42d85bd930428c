package rule

import (
	"iter"
	"slices"
	"strings"
	"unique"
)

// State is which rules a list shows.
type State string

// The states. StateStaged is for rules that are in no Set.
const (
	StateActive   State = "active"
	StateInactive State = "inactive"
	StateOrphaned State = "orphaned"
	StateStaged   State = "staged"
)

// Filter says which rules a list shows: those that meet all that is not zero.
type Filter struct {
	NamePrefix string
	// User, Group and Client are compared as they are for a principal.
	User, Group, Client string
	// Creator is one creator exactly; CreatedBy is a creator's user name.
	Creator   *Creator
	CreatedBy string
	// Entity is listed by the rule.
	Entity *ID
	State  State
}

// Select yields the rules with ids above after that meet a filter, in the order
// of their ids. The model says which are orphaned.
func (s *Set) Select(m *Model, f Filter, after int64) iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for p := range s.candidates(f, after) {
			if !f.admits(p) {
				continue
			}
			r := p.Rule()
			if f.meets(m, &r) && !yield(r) {
				return
			}
		}
	}
}

// candidates are the rules of one of the filter's subjects, else all.
func (s *Set) candidates(f Filter, after int64) iter.Seq[*Packed] {
	for kind, name := range [subjectKinds]string{f.User, f.Group, f.Client} {
		if name != "" {
			return s.of(subjectKind(kind), subjectKind(kind).key(name), after)
		}
	}
	return s.AllPacked(after)
}

// admits checks what can be told without unpacking.
func (f *Filter) admits(p *Packed) bool {
	if !strings.HasPrefix(p.Name(), f.NamePrefix) {
		return false
	}
	if f.Creator == nil && f.CreatedBy == "" {
		return true
	}
	o := p.Owner()
	return (f.Creator == nil || o.Creator == *f.Creator) && (f.CreatedBy == "" || o.Username == f.CreatedBy)
}

// Meets reports whether a rule meets the filter; one that is staged does when
// State is StateStaged.
func (f *Filter) Meets(m *Model, r *Rule) bool { return f.admits(Pack(r)) && f.meets(m, r) }

func (f *Filter) meets(m *Model, r *Rule) bool {
	for kind, name := range [subjectKinds]string{f.User, f.Group, f.Client} {
		kind := subjectKind(kind)
		list := [subjectKinds][]string{r.Users, r.Groups, r.Clients}[kind]
		if name != "" && !slices.ContainsFunc(list, func(s string) bool { return kind.key(s) == kind.key(name) }) {
			return false
		}
	}
	if f.Entity != nil && !slices.ContainsFunc(r.Entities, func(e EntityGrant) bool { return e.ID == *f.Entity }) {
		return false
	}
	switch f.State {
	case StateActive:
		return r.Active
	case StateInactive:
		return !r.Active
	case StateOrphaned:
		return m.Orphans(r).Any()
	default:
		return true
	}
}

// OwnedBy yields the rules of one creator, in the order of their ids.
func (s *Set) OwnedBy(c Creator) iter.Seq[*Packed] {
	return func(yield func(*Packed) bool) {
		// Owners are few; comparing handles spares looking at each rule's.
		known := map[unique.Handle[Owner]]bool{}
		for p := range s.AllPacked(0) {
			is, seen := known[p.owner]
			if !seen {
				is = p.owner.Value().Creator == c
				known[p.owner] = is
			}
			if is && !yield(p) {
				return
			}
		}
	}
}
