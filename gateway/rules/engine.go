package rules

import (
	"container/list"
	"slices"
	"sync"
	"weak"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// Config bounds what an Engine keeps. Zero means the default.
type Config struct {
	// MaxPrograms is how many programs are kept, one for each set of subjects that
	// rules name: 1,024 by default.
	MaxPrograms int
	// MaxRules is how many rules all kept programs together may have been made
	// of: 2,000,000 by default. A single program may be larger; it is then the
	// only one.
	MaxRules int
	// MaxBytes is about how many bytes all kept programs may hold, those of their
	// rules included: 512 MiB by default. A single one may be larger, as above.
	MaxBytes int
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
// each change of these rules or the model. Principals of whom rules name the same
// subjects share one. It is safe for concurrent use.
type Engine struct {
	cfg Config

	mu    sync.Mutex
	kept  map[string]*list.Element // of *keeping, by subjects
	used  *list.List               // used last at the front
	rules int                      // of all that is kept
	bytes int

	named namedSubjects

	model *rule.Model
	index func() *index // of model
}

// keeping is a program, or one that is being made.
type keeping struct {
	key string
	// What it was made from, or found to be the same for; weak, so that nothing is
	// held on to for a principal who does not come back.
	model    weak.Pointer[rule.Model]
	from     weak.Pointer[rule.Set]
	revision int64

	done chan struct{} // closed when the rest is there
	// list is the rules that the program was made of.
	list    []*rule.Packed
	program *Program
	counted bool // in Engine.rules and bytes
	bytes   int
}

// New returns an engine that keeps nothing yet.
func New(cfg Config) *Engine {
	if cfg.MaxPrograms <= 0 {
		cfg.MaxPrograms = 1024
	}
	if cfg.MaxRules <= 0 {
		cfg.MaxRules = 2_000_000
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 512 << 20
	}
	return &Engine{cfg: cfg, kept: map[string]*list.Element{}, used: list.New(), named: newNamedSubjects()}
}

// Len returns how many programs are kept.
func (e *Engine) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used.Len()
}

// Program returns the program of a principal over the model and the rules of a
// snapshot that current gives, now or later, and that snapshot.
//
// Of callers that want the same program at the same time one makes it and the
// others wait. While rules change faster than they are compiled, whoever comes
// waits for what is being made and then for what is newest: one program of the
// same subjects is made at a time, however many changes there are.
func (e *Engine) Program(current func() *registry.Snapshot, sub rule.Subjects) (*registry.Snapshot, *Program) {
	var s *registry.Snapshot
	p := e.find(func() Source {
		s = current()
		return Source{Model: s.Model, Rules: s.Rules, Revision: int64(s.Revision)}
	}, sub)
	return s, p
}

// ProgramOf is Program for one source.
func (e *Engine) ProgramOf(src Source, sub rule.Subjects) *Program {
	return e.find(func() Source { return src }, sub)
}

// maxWaits is how often a caller waits for programs of other sources before it
// makes its own beside them: with that, no change keeps anybody waiting for ever.
const maxWaits = 3

// find returns the program over the source that current gave last.
func (e *Engine) find(current func() Source, sub rule.Subjects) *Program {
	key := keyOfSubjects(sub)
	for waits := 0; ; waits++ {
		src := current()
		some := e.named.of(src.Rules, sub, key)
		k, before, what := e.keep(src, some.key)
		switch {
		case what == toUse:
			<-k.done
			if k.program == nil {
				continue // whoever made it has failed, and said so
			}
			return k.program
		case what == toMake:
			e.make(src, some.Subjects, k, before)
			return k.program
		case what == toWait && waits < maxWaits:
			<-k.done
		default:
			return compilePacked(e.indexOf(src.Model), src.Rules.PackedFor(some.Subjects))
		}
	}
}

// What keep says is to be done.
type task int

const (
	toUse   task = iota // a program of this source is there, or is being made
	toMake              // it is the caller's to make
	toWait              // one of another source is being made
	toSpare             // there is one of a newer source: this one is not kept
)

// keep returns what is kept for the subjects, or begins it. before is the program
// that it takes the place of.
func (e *Engine) keep(src Source, key string) (k, before *keeping, what task) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.kept[key]
	if at != nil {
		before, _ = at.Value.(*keeping)
		if before.model == weak.Make(src.Model) && before.from == weak.Make(src.Rules) {
			e.used.MoveToFront(at)
			return before, nil, toUse
		}
		switch {
		case !before.isDone():
			return before, nil, toWait
		case before.revision > src.Revision:
			return nil, nil, toSpare
		}
		e.drop(at)
	}
	k = &keeping{
		key: key, model: weak.Make(src.Model), from: weak.Make(src.Rules), revision: src.Revision,
		done: make(chan struct{}),
	}
	e.kept[key] = e.used.PushFront(k)
	for e.used.Len() > e.cfg.MaxPrograms {
		e.drop(e.used.Back())
	}
	return k, before, toMake
}

func (k *keeping) isDone() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// make makes the program. Where the rules of the subjects are the same as before,
// so is the program: most changes concern others.
func (e *Engine) make(src Source, sub rule.Subjects, k, before *keeping) {
	defer func() {
		if k.program == nil { // a panic: nobody is to wait for it again
			e.forget(k)
		}
		close(k.done)
	}()
	k.list = src.Rules.PackedFor(sub)
	if before != nil && before.program != nil && before.model == k.model && slices.Equal(before.list, k.list) {
		k.program, k.bytes = before.program, before.bytes
	} else {
		k.program = compilePacked(e.indexOf(src.Model), k.list)
		k.bytes = k.program.Size() + 8*len(k.list)
		for _, p := range k.list {
			k.bytes += p.Size()
		}
	}
	e.count(k)
}

// indexOf returns the index of a model, made once.
func (e *Engine) indexOf(m *rule.Model) *index {
	e.mu.Lock()
	if e.model != m || e.index == nil {
		e.model, e.index = m, sync.OnceValue(func() *index { return newIndex(m) })
	}
	x := e.index
	e.mu.Unlock()
	return x()
}

// count notes how large a program became, and makes room for it.
func (e *Engine) count(k *keeping) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.kept[k.key]
	if at == nil || at.Value != k {
		return // dropped while it was made
	}
	k.counted = true
	e.rules += k.program.Rules()
	e.bytes += k.bytes
	for (e.rules > e.cfg.MaxRules || e.bytes > e.cfg.MaxBytes) && e.used.Len() > 1 {
		last := e.used.Back()
		if last == at {
			last = at.Prev()
		}
		e.drop(last)
	}
}

func (e *Engine) forget(k *keeping) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := e.kept[k.key]; at != nil && at.Value == k {
		e.drop(at)
	}
}

func (e *Engine) drop(at *list.Element) {
	k, _ := at.Value.(*keeping)
	if k.counted {
		e.rules -= k.program.Rules()
		e.bytes -= k.bytes
	}
	delete(e.kept, k.key)
	e.used.Remove(at)
}
