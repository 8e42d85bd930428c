package authz

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry"
)

// stepsAtOnce and tablesAtOnce are how many rule transformations and tables are read
// at once.
const (
	stepsAtOnce  = 500
	tablesAtOnce = 1000
)

// blocksOf gathers items under headings, in the order of the headings' ids.
type blocksOf struct {
	list []Block
}

func (b *blocksOf) add(id, name string, item Item) {
	at, found := slices.BinarySearchFunc(b.list, id, func(one Block, id string) int { return cmp.Compare(one.ID, id) })
	if !found {
		b.list = slices.Insert(b.list, at, Block{ID: id, Name: name, Items: []Item{}})
	}
	b.list[at].Items = append(b.list[at].Items, item)
}

// workerBlocks lists the workers by class and type.
func workerBlocks(_ context.Context, f Facts) ([]Block, error) {
	var b blocksOf
	for _, w := range f.Snapshot.Workers {
		kind := w.Class + "/" + w.Type
		b.add(kind, kind, Item{ResourceID: string(w.ID), Name: w.Name})
	}
	return b.list, nil
}

// workerTypeBlocks lists the types that workers can be registered with, by class.
func workerTypeBlocks(context.Context, Facts) ([]Block, error) {
	var b blocksOf
	for _, s := range registry.Supported() {
		b.add(s.Class, s.Class, Item{ResourceID: s.Type, Name: s.Type})
	}
	return b.list, nil
}

func stepBlocks(ctx context.Context, f Facts) ([]Block, error) {
	if f.Steps == nil {
		return nil, nil
	}
	b := Block{ID: "rule_steps", Name: "Rule transformations", Items: []Item{}}
	for after := ""; ; {
		steps, err := f.Steps(ctx, after, stepsAtOnce)
		if err != nil {
			return nil, err
		}
		for _, s := range steps {
			b.Items = append(b.Items, Item{ResourceID: s.Name, Name: s.Name})
			after = s.Name
		}
		if len(steps) < stepsAtOnce {
			return []Block{b}, nil
		}
	}
}

func fixedBlocks(id, name string, items ...Item) func(context.Context, Facts) ([]Block, error) {
	return func(context.Context, Facts) ([]Block, error) {
		return []Block{{ID: id, Name: name, Items: slices.Clone(items)}}, nil
	}
}

func pluginBlocks(_ context.Context, f Facts) ([]Block, error) {
	var b blocksOf
	for _, id := range f.Plugins {
		slug, plugin, _ := strings.Cut(id, "/")
		b.add(slug, slug, Item{ResourceID: id, Name: plugin})
	}
	return b.list, nil
}

// datasetBlocks lists the registered tables by source, and what grants name beside
// them: a grant need not wait for its table.
func datasetBlocks(ctx context.Context, f Facts) ([]Block, error) {
	var b blocksOf
	known := map[string]bool{}
	for q := (registry.TableQuery{Limit: tablesAtOnce}); f.Tables != nil; {
		tables, _, err := f.Tables(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			known[t.Dataset()] = true
			b.add(t.Source, t.Source, Item{ResourceID: t.Dataset(), Name: t.Name})
			q.After = t.ID
		}
		if len(tables) < tablesAtOnce {
			break
		}
	}
	for _, id := range grantedResources(f.Snapshot, TypeDataset) {
		if !known[id] {
			source := before(".")(id)
			b.add(source, source, Item{ResourceID: id, Name: id})
		}
	}
	return b.list, nil
}

// grantedBlocks lists the resources of a type that grants name, by what heading
// makes of their ids. It is for types whose resources nothing registers yet.
func grantedBlocks(key string, heading func(id string) string) func(context.Context, Facts) ([]Block, error) {
	return func(_ context.Context, f Facts) ([]Block, error) {
		var b blocksOf
		for _, id := range grantedResources(f.Snapshot, key) {
			b.add(heading(id), heading(id), Item{ResourceID: id, Name: id})
		}
		return b.list, nil
	}
}

// whole puts every resource under a heading of its own.
func whole(id string) string { return id }

// before is the part of an id in front of a separator.
func before(separator string) func(id string) string {
	return func(id string) string {
		head, _, _ := strings.Cut(id, separator)
		return head
	}
}
