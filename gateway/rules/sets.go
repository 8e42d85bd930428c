package rules

import (
	"encoding/binary"
	"slices"
)

// setTable numbers distinct sets of properties.
type setTable struct {
	sets  []set
	known map[string]int32 // when there are more than fewSets
	key   []byte
}

// fewSets is up to how many sets are compared one after the other.
const fewSets = 16

func (s *setTable) reset() {
	clear(s.sets)
	s.sets, s.known = s.sets[:0], nil
}

func equalSets(a, b *set) bool { return a.head == b.head && slices.Equal(a.tail, b.tail) }

// number takes a set, which must not be changed afterwards.
func (s *setTable) number(x set) int32 {
	if s.known == nil {
		for k := range s.sets {
			if equalSets(&s.sets[k], &x) {
				return int32(k)
			}
		}
	} else if k, ok := s.known[string(s.keyOf(&x))]; ok {
		return k
	}
	s.sets = append(s.sets, x)
	k := int32(len(s.sets) - 1)
	switch {
	case s.known != nil:
		s.known[string(s.keyOf(&x))] = k
	case len(s.sets) > fewSets:
		s.known = make(map[string]int32, 2*fewSets)
		for k := range s.sets {
			s.known[string(s.keyOf(&s.sets[k]))] = int32(k)
		}
	}
	return k
}

func (s *setTable) keyOf(x *set) []byte {
	s.key = binary.LittleEndian.AppendUint64(s.key[:0], x.head)
	for _, n := range x.tail {
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(n))
	}
	return s.key
}

// union puts sets of one label together.
type union struct {
	head  uint64
	tail  []int32
	seen  []uint32 // by number: the stamp of the union that has it
	stamp uint32
}

// grow makes room for the widest of the labels.
func (u *union) grow(drafts []draft) {
	most := 0
	for k := range drafts {
		most = max(most, len(drafts[k].names))
	}
	u.seen = make([]uint32, most)
}

func (u *union) reset() {
	u.head, u.tail = 0, u.tail[:0]
	if u.stamp++; u.stamp == 0 {
		clear(u.seen)
		u.stamp = 1
	}
}

func (u *union) add(x *set) {
	u.head |= x.head
	for _, n := range x.tail {
		if u.seen[n] != u.stamp {
			u.seen[n] = u.stamp
			u.tail = append(u.tail, n)
		}
	}
}

// take returns what was put together.
func (u *union) take(c *compiler) set {
	slices.Sort(u.tail)
	return set{u.head, cutFrom(&c.number, u.tail...)}
}
