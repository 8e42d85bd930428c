package ruleloader

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/workers/client"
)

// permission is what one row grants. It is used again for the next row.
type permission struct {
	subjects    []subject
	entity      int64
	title       string // empty when only the id is known
	conditional bool
	property    int64
	value       string
	inactive    bool

	properties, relationships, functions []int64
}

// subject is one of those who are granted something; kind is the first byte of its
// place in a key.
type subject struct {
	kind byte
	name string
}

const (
	isUser   byte = 'u'
	isGroup  byte = 'g'
	isClient byte = 'c'
)

// errSkip marks a row that grants nothing because of what the step sent; the
// reason has been counted.
var errSkip = errors.New("skipped")

// plan reads the rows of one source.
type plan struct {
	s       *sourceMapping
	m       *model
	lookups map[string]map[string]string
	columns []string
	report  *Report
	p       permission
}

// permission makes a row's; the error is errSkip, a *badRow, or one that ends the
// run. What it returns is good until the next call.
func (pl *plan) permission(cells []cell) (*permission, error) {
	pl.p = permission{
		subjects: pl.p.subjects[:0], properties: pl.p.properties[:0],
		relationships: pl.p.relationships[:0], functions: pl.p.functions[:0],
	}
	// The order is that of counting: what is bad is bad whatever the step sent.
	e, err := pl.entity(cells)
	if err != nil && !errors.Is(err, errSkip) {
		return nil, err
	}
	skipped := err
	for _, step := range []func([]cell, *entity) error{pl.subjects, pl.condition, pl.grants} {
		if err := step(cells, e); errors.Is(err, errSkip) {
			skipped = err
		} else if err != nil {
			return nil, err
		}
	}
	return &pl.p, skipped
}

// values are a field's texts in a row, looked up; none when the cell is empty.
func (pl *plan) values(f *field, cells []cell) ([]string, error) {
	if f == nil {
		return nil, nil
	}
	list := f.values
	if f.column != "" {
		list = split(cells[slices.Index(pl.columns, f.column)], f.separator)
	}
	if f.lookup == "" {
		return list, nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		to, ok := pl.lookups[f.lookup][v]
		if !ok {
			return nil, bad("%s has a value that the lookup %s does not have", f.key, f.lookup)
		}
		out[i] = to
	}
	return out, nil
}

func split(c cell, separator string) []string {
	switch {
	case !c.set:
		return nil
	case c.list != nil:
		return c.list
	case separator == "":
		return []string{c.one}
	}
	var out []string
	for part := range strings.SplitSeq(c.one, separator) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// one is the single value of a field.
func (pl *plan) one(f *field, cells []cell) (string, error) {
	list, err := pl.values(f, cells)
	switch {
	case err != nil:
		return "", err
	case len(list) == 0:
		return "", bad("%s has no value", f.key)
	case len(list) > 1:
		return "", bad("%s has %d values; it takes one", f.key, len(list))
	}
	return list[0], nil
}

func (pl *plan) entity(cells []cell) (*entity, error) {
	f := pl.s.entity
	text, err := pl.one(f, cells)
	if err != nil {
		return nil, err
	}
	if f.ids {
		return pl.entityByID(text)
	}
	if pl.m.byTitle == nil {
		return nil, errNoEntities
	}
	e := pl.m.byTitle[text]
	if e == nil {
		pl.report.skip(unknownEntity)
		return nil, errSkip
	}
	pl.p.entity, pl.p.title = e.id, e.title
	return e, nil
}

func (pl *plan) entityByID(text string) (*entity, error) {
	id, err := number("entity", text)
	if err != nil {
		return nil, err
	}
	pl.p.entity = id
	if pl.m.byID == nil {
		return nil, nil
	}
	e := pl.m.byID[id]
	if e == nil {
		pl.report.skip(unknownEntity)
		return nil, errSkip
	}
	pl.p.title = e.title
	return e, nil
}

func number(key, text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 || id > client.MaxRuleID {
		return 0, bad("%s has a value that is no id (a whole number from 0 to 2^53-1)", key)
	}
	return id, nil
}

// subjects of whom the step sent a list, and who are not in it, are left out; a row
// that has none left is skipped.
func (pl *plan) subjects(cells []cell, _ *entity) error {
	found := 0
	for _, k := range []struct {
		f       *field
		kind    byte
		sent    map[string]string
		key     func(string) string
		unknown string
	}{
		{pl.s.user, isUser, pl.m.users, userKey, unknownUser},
		{pl.s.group, isGroup, pl.m.groups, groupKey, unknownGroup},
		{pl.s.client, isClient, pl.m.clients, clientKey, unknownClient},
	} {
		names, err := pl.values(k.f, cells)
		if err != nil {
			return err
		}
		found += len(names)
		for _, n := range names {
			if name, ok := known(k.sent, k.key, n); ok {
				pl.p.subjects = append(pl.p.subjects, subject{k.kind, name})
			} else {
				pl.report.skip(k.unknown)
			}
		}
	}
	if found == 0 {
		return bad("it has no subject: %s", pl.subjectColumns())
	}
	if len(pl.p.subjects) == 0 {
		return errSkip
	}
	return nil
}

func (pl *plan) subjectColumns() string {
	var names []string
	for _, f := range []*field{pl.s.user, pl.s.group, pl.s.client} {
		if f != nil && f.column != "" {
			names = append(names, f.column)
		}
	}
	return "no value in " + strings.Join(names, ", ")
}

// condition must be whole: a rule without its condition would show more than the
// source grants.
func (pl *plan) condition(cells []cell, e *entity) error {
	if pl.s.conditionProperty == nil {
		return nil
	}
	text, err := pl.one(pl.s.conditionProperty, cells)
	if err != nil {
		return err
	}
	if pl.p.value, err = pl.one(pl.s.conditionValue, cells); err != nil {
		return err
	}
	pl.p.conditional = true
	id, ok, err := pl.property(pl.s.conditionProperty, text, e)
	if err != nil {
		return err
	}
	if !ok {
		if e != nil {
			pl.report.skip(unknownCondition)
		}
		return errSkip
	}
	pl.p.property = id
	return nil
}

// property finds one of an entity's; without an entity (it is unknown, or known by
// its id alone) only ids can be taken.
func (pl *plan) property(f *field, text string, e *entity) (id int64, ok bool, err error) {
	if f.ids {
		if id, err = number(f.key, text); err != nil {
			return 0, false, err
		}
		return id, e == nil || e.ids[id], nil
	}
	if e == nil {
		if pl.m.byTitle == nil {
			return 0, false, errNoEntities
		}
		return 0, false, nil
	}
	id, ok = e.properties[text]
	return id, ok, nil
}
