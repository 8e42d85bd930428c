package element

// maxShapes is how many templates of properties are kept side by side: graphs
// bring nodes of a few kinds in turn. It is a power of two.
const maxShapes = 16

// shapes are the templates of the elements' properties that were read last. Which
// one an element follows is found out on the way: where the next piece is another
// one, so is the template, if there is one that is the same up to there.
type shapes struct {
	all   [maxShapes]pattern
	at    int    // the one that the last element followed
	next  int    // where the next new one goes
	round uint32 // counts batches
}

// pattern is a template and its number as a skeleton of a batch.
type pattern struct {
	template
	made   bool // false while its place has never been used
	number uint32
	round  uint32 // of the batch that number is for
}

// into has what is read next appended to a batch.
func (p *parser) into(b *Batch) {
	p.batch = b
	if p.shapes.round++; p.shapes.round == 0 {
		p.shapes = shapes{round: 1} // numbers of four thousand million batches ago would be taken for new ones
	}
}

func (s *shapes) current() *pattern { return &s.all[s.at] }

// other looks for a template that has the first k pieces of the current one and
// goes on with what is in b at i. size is the length of that piece; 0 when there
// is none, and then the template is the current one.
func (s *shapes) other(b []byte, i, k int) (t *pattern, size int) {
	from := s.current()
	for step := 1; step < maxShapes; step++ {
		at := (s.at + step) & (maxShapes - 1)
		t = &s.all[at]
		if len(t.marks) <= k {
			continue
		}
		if size = t.match(b, i, k); size > 0 && t.begins(&from.template, k) {
			s.at = at
			return t, size
		}
	}
	return from, 0
}

// ended returns the skeleton of an element that has the first k pieces of the
// current template and no more; 0 when the template has no room for them.
func (s *shapes) ended(b *Batch, k int) uint32 {
	t := s.current()
	if k > len(t.marks) || k == len(t.marks) && t.full {
		return 0
	}
	if k < len(t.marks) || !t.made {
		t = s.shorter(k)
	}
	if t.round != s.round {
		b.skeletons++
		t.number, t.round = b.skeletons, s.round
	}
	return t.number
}

// shorter returns the template of just the first k pieces of the current one,
// which has more, or is none yet.
func (s *shapes) shorter(k int) *pattern {
	from := s.current()
	for step := 1; step < maxShapes; step++ {
		at := (s.at + step) & (maxShapes - 1)
		if t := &s.all[at]; t.made && len(t.marks) == k && !t.full && t.begins(&from.template, k) {
			s.at = at
			return t
		}
	}
	return s.fresh(k)
}

// fresh makes a new template of the first k pieces of the current one, in the
// place of the one made longest ago. It returns nil where the current one had no
// room for more pieces: its elements are read in full from there on.
func (s *shapes) fresh(k int) *pattern {
	from := s.current()
	if from.full && k == len(from.marks) {
		return nil
	}
	if s.next == s.at {
		s.next = (s.next + 1) & (maxShapes - 1)
	}
	t := &s.all[s.next]
	s.at = s.next
	s.next = (s.next + 1) & (maxShapes - 1)
	t.made, t.round = true, 0
	t.copy(&from.template, k)
	return t
}
