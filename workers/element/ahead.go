package element

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
)

const (
	// smallestPart is the least that a scout is worth: handing over to another
	// processor costs about as much as reading a tenth of it.
	smallestPart = 96 << 10
	// PartsFrom is the size in bytes of the smallest body of which lists may be read
	// in parts; for these, about half of the body is needed once more.
	PartsFrom = 2 * smallestPart
	// mostParts bounds how many parts a list is read in at the same time.
	mostParts = 4
	// search is how far a scout's beginning is looked for.
	search = 64 << 10
)

// scout reads a part of a list while the parser still reads the part before.
// Where the part begins is a guess: at bytes like those that the first element
// began with. What the scout finds counts only when the parser comes to an
// element that begins exactly there; from an element's beginning on, what is
// read depends on nothing that stands before it. A wrong guess costs time of a
// processor, and what the scout found is dropped.
type scout struct {
	p           parser
	batch       Batch
	from, until int
	end         int  // where it stopped, or what is wrong
	closed      bool // the list ends there
	panicked    any
}

// errand is one run of a scout. It is never used again, so that a goroutine that
// gets a processor too late finds out without touching what others use by then.
type errand struct {
	scout *scout
	taken atomic.Bool // somebody reads the part, or nobody is to
	stop  atomic.Bool // the result will not be used
	done  chan struct{}
}

// ahead is a parser's scouts.
type ahead struct {
	next    int       // where the first of waiting begins; beyond all offsets when there is none
	waiting []*errand // in the order of their parts
	late    []*errand // under way for nothing, to be waited for
	scouts  []*scout  // memory, used again

	// For tests, which choose parts that nobody else would; nil and 0 otherwise.
	parts int                              // how many
	find  func(text, beginning []byte) int // instead of bytes.Index
	begin func(run func())                 // instead of go
}

// send sends scouts into the rest of a list of which the first element has been
// read: it is b[from:end].
func (p *parser) send(b []byte, from, end, depth int) {
	a := &p.ahead
	t := &p.members[p.batch.kind]
	if p.drop || len(t.marks) == 0 {
		return
	}
	a.plan(b, end, b[from:from+1+int(t.marks[0].size)])
	for k, e := range a.waiting {
		if k+1 < len(a.waiting) {
			e.scout.until = a.waiting[k+1].scout.from
		}
		e.scout.start(b, p.batch.kind)
		if a.begin != nil {
			a.begin(func() { e.run(b, depth) })
		} else {
			go e.run(b, depth)
		}
	}
	a.look()
}

// plan cuts what follows end into parts that begin as an element should.
func (a *ahead) plan(b []byte, end int, beginning []byte) {
	parts, find := min(mostParts, (len(b)-end)/smallestPart), bytes.Index
	if parts > 1 {
		parts = min(parts, runtime.GOMAXPROCS(0))
	}
	if a.parts > 0 {
		parts = a.parts
	}
	if a.find != nil {
		find = a.find
	}
	last := end
	for k := 1; k < parts; k++ {
		at := max(end+k*((len(b)-end)/parts), last+1)
		if at >= len(b) {
			return
		}
		if n := find(b[at:min(at+search, len(b))], beginning); n >= 0 {
			last = at + n
			a.add(last)
		}
	}
}

// add plans a part that begins at from and goes on to the end.
func (a *ahead) add(from int) {
	n := len(a.waiting)
	if n == len(a.scouts) {
		a.scouts = append(a.scouts, new(scout))
	}
	s := a.scouts[n]
	s.from, s.until = from, math.MaxInt
	a.waiting = append(a.waiting, &errand{scout: s, done: make(chan struct{})})
}

// look notes where the next scout begins.
func (a *ahead) look() {
	a.next = math.MaxInt
	if len(a.waiting) > 0 {
		a.next = a.waiting[0].scout.from
	}
}

func (s *scout) start(b []byte, kind Kind) {
	s.batch.reset(kind, b)
	s.batch.until = min(s.until, len(b))
	s.p.into(&s.batch)
	s.p.names, s.p.drop, s.p.why = s.p.names[:0], false, flawNone
	s.end, s.closed, s.panicked = bad, false, nil
}

// run reads the part, unless the parser came there first.
func (e *errand) run(b []byte, depth int) {
	if !e.taken.CompareAndSwap(false, true) {
		return
	}
	defer close(e.done)
	s := e.scout
	// A panic is raised again by the one who asked, where somebody handles it.
	defer func() { s.panicked = recover() }()
	s.read(b, depth, &e.stop)
}

func (s *scout) read(b []byte, depth int, stop *atomic.Bool) {
	i := s.from
	for n := 0; !stop.Load(); n++ {
		from := i
		if i = s.p.element(b, i, depth); i < 0 {
			s.end = i
			return
		}
		if n == 0 {
			s.batch.expect(s.batch.until-from, i-from)
		}
		if i = skipSpace(b, i); i >= len(b) {
			s.end = more
			return
		}
		switch b[i] {
		case ',':
			if i = skipSpace(b, i+1); i >= s.until {
				s.end = i
				return
			}
		case ']':
			s.end, s.closed = i+1, true
			return
		default:
			return
		}
	}
}

// join is called where an element begins at or behind the next scout's beginning.
// It takes over what the scout has found if that is this very element, and
// returns where to go on, which may be behind the end of the list, or what is wrong.
func (p *parser) join(i int) (end int, closed bool) {
	a := &p.ahead
	defer a.look()
	for len(a.waiting) > 0 && a.waiting[0].scout.from < i {
		a.drop() // no element began there
	}
	if len(a.waiting) == 0 || a.waiting[0].scout.from != i {
		return i, false
	}
	e := a.waiting[0]
	if e.taken.CompareAndSwap(false, true) {
		a.waiting = slices.Delete(a.waiting, 0, 1)
		return i, false // nobody has begun with it
	}
	<-e.done
	a.waiting = slices.Delete(a.waiting, 0, 1)
	s := e.scout
	switch {
	case s.panicked != nil:
		panic(s.panicked)
	case s.end < 0:
		p.why = s.p.why
		return s.end, false
	case !p.batch.adopt(&s.batch):
		return p.flawed(flawOverflows), false
	default:
		return s.end, s.closed
	}
}

// drop gives up the next scout.
func (a *ahead) drop() {
	e := a.waiting[0]
	a.waiting = slices.Delete(a.waiting, 0, 1)
	if !e.taken.CompareAndSwap(false, true) {
		e.stop.Store(true)
		a.late = append(a.late, e)
	}
}

// dismiss ends all scouts. When it returns, none reads the body any more.
func (a *ahead) dismiss() {
	for len(a.waiting) > 0 {
		a.drop()
	}
	for _, e := range a.late {
		<-e.done
	}
	clear(a.late)
	a.late = a.late[:0]
	for _, s := range a.scouts {
		s.batch.reset(s.batch.kind, nil)
	}
	a.next = math.MaxInt
}

// adopt appends the elements of another batch over the same body. It reports
// false when the offsets would not fit any more.
func (b *Batch) adopt(o *Batch) bool {
	if len(o.recs) == 0 {
		return true
	}
	shift := uint64(len(b.arena))
	if uint64(len(b.body))+shift+uint64(len(o.arena)) > math.MaxUint32 {
		return false
	}
	if n := len(b.recs); n > 0 && !b.unsorted {
		b.unsorted = o.unsorted || !follows(o.ID(0), b.ID(n-1))
	}
	props, recs, ends := uint32(len(b.props)), len(b.recs), len(b.ends)
	b.props = append(b.props, o.props...)
	b.recs = append(b.recs, o.recs...)
	b.ends = append(b.ends, o.ends...)
	b.arena = append(b.arena, o.arena...)
	for i := range b.recs[recs:] {
		r := &b.recs[recs+i]
		r.firstProp += props
		if r.skeleton != 0 {
			r.skeleton += b.skeletons
		}
	}
	b.skeletons += o.skeletons
	if shift > 0 && len(o.arena) > 0 {
		b.lift(recs, ends, uint32(shift))
	}
	return true
}

// lift moves the decoded texts of the elements from recs on up in the arena.
func (b *Batch) lift(recs, ends int, by uint32) {
	body := uint32(len(b.body))
	up := func(s *span) {
		if s.from >= body && s.to > s.from {
			s.from, s.to = s.from+by, s.to+by
		}
	}
	for i := range b.recs[recs:] {
		r := &b.recs[recs+i]
		up(&r.id)
		if b.kind == Relationships {
			up(&r.what)
		}
	}
	for i := range b.ends[ends:] {
		e := &b.ends[ends+i]
		up(&e.start)
		up(&e.end)
		up(&e.startLabel)
		up(&e.endLabel)
	}
}
