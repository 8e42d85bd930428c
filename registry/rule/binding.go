package rule

// Binding is what an id of a model stood for when the model lost it. It is
// remembered while rules use the id, so that leaving an id out of one model and
// giving it another title in the next is noticed like doing both at once.
type Binding struct {
	Ref

	// Of is a property's entity.
	Of ID
	// Title is an entity's or property's title, or a relationship's alias.
	Title string
	// From and To are a relationship's ends.
	From, To string
}

func (m *Model) bindings() []Binding { return m.index().bindings }

// Rebound lists the ids that stand for something else in the model after than in
// the one before, or than they did when a model last knew them: an entity with
// another title, a property with another title or of another entity, a
// relationship with other ends or another alias. Either model may be nil.
func Rebound(before *Model, retired []Binding, after *Model) []Ref {
	was := make(map[Ref]Binding, len(retired))
	for _, b := range retired {
		was[b.Ref] = b
	}
	x := before.index()
	var all []Ref
	for _, b := range after.bindings() {
		old, known := was[b.Ref]
		if i, is := x.at[b.Ref]; is {
			old, known = x.bindings[i], true
		}
		if known && old != b {
			all = append(all, b.Ref)
		}
	}
	return all
}

// Retire returns what is to be remembered once the model after has taken the
// place of before: the bindings of ids that are used and that after lacks.
func Retire(before *Model, retired []Binding, after *Model, used func(Ref) bool) []Binding {
	var kept []Binding
	keep := func(all []Binding, unless *Model) {
		for _, b := range all {
			if !after.Has(b.Ref) && !unless.Has(b.Ref) && used(b.Ref) {
				kept = append(kept, b)
			}
		}
	}
	keep(before.bindings(), nil)
	keep(retired, before)
	return kept
}
