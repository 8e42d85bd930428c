package ruleloader

import (
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
)

// errNoEntities ends a run whose titles cannot be translated.
var errNoEntities = fault.New(fault.Unprocessable, "entities_needed",
	"the mapping speaks of entities and properties by their titles, and the step sent no entities; have the step send them, or map ids (ids: true)")

// errNoRelationships is the same for relationships.
var errNoRelationships = fault.New(fault.Unprocessable, "relationships_needed",
	"the mapping speaks of relationships by their aliases, and the step sent no relationships; have the step send them, or map ids (ids: true)")

// grants reads what a row shows of its entity, and beside it.
func (pl *plan) grants(cells []cell, e *entity) error {
	if err := pl.properties(cells, e); err != nil {
		return err
	}
	if err := pl.relationships(cells, e); err != nil {
		return err
	}
	list, err := pl.values(pl.s.functions, cells)
	if err != nil {
		return err
	}
	for _, text := range list {
		id, err := number("functions", text)
		if err != nil {
			return err
		}
		pl.p.functions = append(pl.p.functions, id)
	}
	return pl.active(cells)
}

func (pl *plan) properties(cells []cell, e *entity) error {
	f := pl.s.properties
	if f != nil && f.all {
		switch {
		case e != nil:
			pl.p.properties = append(pl.p.properties, e.all...)
		case pl.m.byID == nil:
			return errNoEntities
		}
		return nil
	}
	list, err := pl.values(f, cells)
	if err != nil {
		return err
	}
	for _, text := range list {
		id, ok, err := pl.property(f, text, e)
		switch {
		case err != nil:
			return err
		case ok:
			pl.p.properties = append(pl.p.properties, id)
		case e != nil:
			pl.report.skip(unknownProperty)
		}
	}
	return nil
}

func (pl *plan) relationships(cells []cell, e *entity) error {
	f := pl.s.relationships
	list, err := pl.values(f, cells)
	if err != nil {
		return err
	}
	for _, text := range list {
		ids, err := pl.relationship(f, text, e)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			pl.report.skip(unknownRelationship)
		}
		pl.p.relationships = append(pl.p.relationships, ids...)
	}
	return nil
}

func (pl *plan) relationship(f *field, text string, e *entity) ([]int64, error) {
	if !f.ids {
		if !pl.m.hasRelationships {
			return nil, errNoRelationships
		}
		return pl.m.aliases(text, e), nil
	}
	id, err := number("relationships", text)
	if err != nil || (pl.m.hasRelationships && !pl.m.relationshipIDs[id]) {
		return nil, err
	}
	return []int64{id}, nil
}

// active takes the usual words; anything else is a bad row, because a guess would
// grant or withdraw something.
func (pl *plan) active(cells []cell) error {
	if pl.s.active == nil {
		return nil
	}
	text, err := pl.one(pl.s.active, cells)
	if err != nil {
		return err
	}
	switch strings.ToLower(text) {
	case "true", "t", "1", "yes", "y":
	case "false", "f", "0", "no", "n":
		pl.p.inactive = true
	default:
		return bad("active is none of true, t, 1, yes, y, false, f, 0, no, n")
	}
	return nil
}
