package rules

import (
	"container/list"
	"encoding/binary"
	"slices"
	"sync"
	"weak"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// Config bounds what an Engine keeps. Zero means the default.
type Config struct {
	// MaxPrograms is how many programs are kept, one for each set of subjects:
	// 1,024 by default.
	MaxPrograms int
	// MaxRules is how many rules all kept programs together may have been made
	// of: 2,000,000 by default. A single program may be larger; it is then the
	// only one.
	MaxRules int
}

// Source is where rules come from: one picture of model and rules that does not
// change. Two sources with the same Model and the same Rules are the same.
type Source struct {
	Model *rule.Model
	Rules *rule.Set
	// Revision tells which of two sources is newer.
	Revision int64
}

// Engine keeps programs, so that the rules of a principal are compiled once for
// each change of the rules or the model. It is safe for concurrent use.
type Engine struct {
	cfg Config

	mu    sync.Mutex
	kept  map[string]*list.Element // of *keeping, by subjects
	used  *list.List               // used last at the front
	rules int                      // of all that is kept

	model *rule.Model
	index func() *index // of model
}

// keeping is a program, or one that is being made.
type keeping struct {
	key string
	// What it was made from; weak, so that nothing is held on to for a principal
	// who does not come back.
	model    weak.Pointer[rule.Model]
	from     weak.Pointer[rule.Set]
	revision int64
	make     func() *Program
	rules    int // counted in Engine.rules
}

// New returns an engine that keeps nothing yet.
func New(cfg Config) *Engine {
	if cfg.MaxPrograms <= 0 {
		cfg.MaxPrograms = 1024
	}
	if cfg.MaxRules <= 0 {
		cfg.MaxRules = 2_000_000
	}
	return &Engine{cfg: cfg, kept: map[string]*list.Element{}, used: list.New()}
}

// Len returns how many programs are kept.
func (e *Engine) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used.Len()
}

// ProgramOf returns the program of a principal. Of callers that want the same
// one at the same time, one makes it and the others wait.
func (e *Engine) ProgramOf(src Source, sub rule.Subjects) *Program {
	key := keyOfSubjects(sub)
	k, fresh := e.keep(src, sub, key)
	p := k.make()
	if fresh {
		e.count(k, p)
	}
	return p
}

// keep returns what is kept for the subjects, or begins it.
func (e *Engine) keep(src Source, sub rule.Subjects, key string) (k *keeping, fresh bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.kept[key]
	if at != nil {
		k, _ = at.Value.(*keeping)
		if k.model == weak.Make(src.Model) && k.from == weak.Make(src.Rules) {
			e.used.MoveToFront(at)
			return k, false
		}
	}
	k = &keeping{
		key: key, model: weak.Make(src.Model), from: weak.Make(src.Rules), revision: src.Revision,
		make: e.maker(src, sub),
	}
	if at != nil {
		old, _ := at.Value.(*keeping)
		if old.revision > src.Revision {
			return k, false // for a request that began before the last change; not kept
		}
		e.drop(at)
	}
	e.kept[key] = e.used.PushFront(k)
	for e.used.Len() > e.cfg.MaxPrograms {
		e.drop(e.used.Back())
	}
	return k, true
}

// maker returns what makes a program, once.
func (e *Engine) maker(src Source, sub rule.Subjects) func() *Program {
	if e.model != src.Model || e.index == nil {
		e.model, e.index = src.Model, sync.OnceValue(func() *index { return newIndex(src.Model) })
	}
	x := e.index
	return sync.OnceValue(func() *Program { return compile(x(), src.Rules.For(sub)) })
}

// count notes how large a program became, and makes room for it.
func (e *Engine) count(k *keeping, p *Program) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.kept[k.key]
	if at == nil || at.Value != k {
		return // dropped while it was made
	}
	k.rules = p.Rules()
	e.rules += k.rules
	for e.rules > e.cfg.MaxRules && e.used.Len() > 1 {
		last := e.used.Back()
		if last == at {
			last = at.Prev()
		}
		e.drop(last)
	}
}

func (e *Engine) drop(at *list.Element) {
	k, _ := at.Value.(*keeping)
	e.rules -= k.rules
	delete(e.kept, k.key)
	e.used.Remove(at)
}

// keyOfSubjects writes subjects so that different ones differ.
func keyOfSubjects(sub rule.Subjects) string {
	groups := slices.Clone(sub.Groups)
	slices.Sort(groups)
	groups = slices.Compact(groups)
	key := appendText(nil, sub.User)
	key = appendText(key, sub.Client)
	for _, g := range groups {
		key = appendText(key, g)
	}
	return string(key)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Program returns the program of a principal over a snapshot's model and rules.
func (e *Engine) Program(s *registry.Snapshot, sub rule.Subjects) *Program {
	return e.ProgramOf(Source{Model: s.Model, Rules: s.Rules, Revision: int64(s.Revision)}, sub)
}
