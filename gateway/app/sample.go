package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// The sample of "muster dev": a small library, and the elements of the published
// contract's examples. Its ids begin at 9000, so that nobody's own model meets
// them by accident.
const (
	sampleReport rule.ID = 9000
	samplePerson rule.ID = 9001
	sampleLabel  rule.ID = 9002
	sampleLabel1 rule.ID = 9003
	sampleLabel2 rule.ID = 9004
	sampleEnd    rule.ID = 9100 // where entities end and properties begin
)

const (
	sampleCites    rule.ID = 9000
	sampleWrote    rule.ID = 9001
	sampleContains rule.ID = 9002
	sampleRequires rule.ID = 9003
)

// sampleModel is the graph model of a development gateway that has none.
func sampleModel() *rule.Model {
	return &rule.Model{
		Entities: []rule.Entity{
			{ID: sampleReport, Title: "Report", Properties: []rule.Property{
				{ID: 9100, Title: "title"}, {ID: 9101, Title: "author"}, {ID: 9102, Title: "year"}, {ID: 9103, Title: "budget"},
			}},
			{ID: samplePerson, Title: "Person", Properties: []rule.Property{
				{ID: 9110, Title: "name"}, {ID: 9111, Title: "email"}, {ID: 9112, Title: "salary"},
			}},
			{ID: sampleLabel, Title: "label", Properties: []rule.Property{
				{ID: 9120, Title: "key"}, {ID: 9121, Title: "key1"}, {ID: 9122, Title: "key2"},
			}},
			{ID: sampleLabel1, Title: "label1"},
			{ID: sampleLabel2, Title: "label2"},
		},
		Relationships: []rule.Relationship{
			{ID: sampleCites, From: "Report", To: "Report", Name: "cites", Alias: "CITES"},
			{ID: sampleWrote, From: "Person", To: "Report", Name: "wrote", Alias: "WROTE"},
			{ID: sampleContains, From: "label1", To: "label2", Name: "contains", Alias: "CONTAINS"},
			{ID: sampleRequires, From: "label1", To: "label1", Name: "requires", Alias: "REQUIRES"},
		},
	}
}

// sampleRules let everybody of the development issuer see the library, without
// what is nobody's business; admin sees all of it.
func sampleRules() []rule.Rule {
	everybody := []string{"/engineering", "/support", "/platform"}
	callers := []string{"graph-service"}
	return []rule.Rule{
		{
			Name: "sample: reports for everybody", Active: true, Groups: everybody, Clients: callers,
			Entities:      []rule.EntityGrant{{ID: sampleReport, Properties: []rule.ID{9100, 9101, 9102}}},
			Relationships: []rule.ID{sampleCites},
		},
		{
			Name: "sample: people for engineering", Active: true, Groups: []string{"/engineering"},
			Entities:      []rule.EntityGrant{{ID: samplePerson, Properties: []rule.ID{9110, 9111}}},
			Relationships: []rule.ID{sampleWrote},
		},
		{
			Name: "sample: the contract's examples", Active: true, Groups: everybody, Clients: callers,
			Entities: []rule.EntityGrant{
				{ID: sampleLabel, Properties: []rule.ID{9120, 9121, 9122}}, {ID: sampleLabel1}, {ID: sampleLabel2},
			},
			Relationships: []rule.ID{sampleContains, sampleRequires},
		},
		{
			Name: "sample: everything for admin", Active: true, Users: []string{"admin"},
			Entities: []rule.EntityGrant{
				{ID: sampleReport, Properties: []rule.ID{9100, 9101, 9102, 9103}},
				{ID: samplePerson, Properties: []rule.ID{9110, 9111, 9112}},
			},
			Relationships: []rule.ID{sampleCites, sampleWrote},
		},
	}
}

// sampleCreator owns the sample's rules. No token has this issuer.
func sampleCreator() rule.Creator { return rule.Creator{Issuer: "muster", Subject: "sample"} }

// loadSample gives a store without a model the sample. One that ever had a model
// or rules of its own is left alone.
func loadSample(ctx context.Context, svc *registry.Service, log *slog.Logger) error {
	s := svc.Snapshot()
	if s.ModelRevision != 0 || s.Rules.Len() != 0 {
		return nil
	}
	if _, err := svc.ReplaceModel(ctx, registry.Muster(), sampleModel(), false); err != nil {
		return fmt.Errorf("the sample model: %w", err)
	}
	_, err := svc.PostRules(ctx, registry.Muster(), registry.RulePost{
		Creator: sampleCreator(), CreatedBy: "muster", Rules: sampleRules(),
	})
	if err != nil {
		return fmt.Errorf("the sample rules: %w", err)
	}
	log.Info("loaded a sample graph model and sample rules, which go when another model is put in place",
		"rules", len(sampleRules()), "entities", len(sampleModel().Entities))
	return nil
}

// dropSample deletes the sample's rules once its model is gone. Until then they
// grant nothing, for no other model has their ids.
func dropSample(ctx context.Context, svc *registry.Service, log *slog.Logger) {
	for s := range svc.Watch(ctx) {
		if s.ModelRevision == 0 || hasSample(s.Model) || !ownsRules(s.Rules, sampleCreator()) {
			continue
		}
		if n, err := svc.DeleteRulesOf(ctx, registry.Muster(), sampleCreator()); err != nil {
			log.Warn("the sample rules could not be deleted; it is tried again at the next change", "error", err)
		} else if n > 0 {
			log.Info("deleted the sample rules: their model is gone", "rules", n)
		}
	}
}

func ownsRules(set *rule.Set, c rule.Creator) bool {
	for range set.OwnedBy(c) {
		return true
	}
	return false
}

// hasSample reports whether a model still knows an entity of the sample.
func hasSample(m *rule.Model) bool {
	if m == nil {
		return false
	}
	for _, e := range m.Entities {
		if e.ID >= sampleReport && e.ID < sampleEnd {
			return true
		}
	}
	return false
}
