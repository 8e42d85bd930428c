package rule

import (
	"encoding/binary"
	"errors"
	"time"
	"unique"
)

// Owner is a rule's creator together with the name that people read.
type Owner struct {
	Creator

	// Username is the creator's user name when the rule was written.
	Username string
}

// Packed is a rule in few bytes, as snapshots hold and stores keep it: a million
// of them have to fit into a gateway's memory. It is immutable and safe for
// concurrent use.
type Packed struct {
	id    int64
	owner unique.Handle[Owner]
	// data is the name, the times, the revision, the run and the body, so that
	// everything a rule says is one allocation and strings decoded from it share
	// its memory.
	data string
}

// Record is a rule as a store's row has it: the body is what Packed.Body gave.
type Record struct {
	ID                   int64
	Name                 string
	Owner                Owner
	Run                  string
	CreatedAt, UpdatedAt time.Time
	Revision             int64
	Body                 []byte
}

// Pack packs a rule. Times are kept to the microsecond.
func Pack(r *Rule) *Packed {
	p, _ := pack(Record{
		ID: r.ID, Name: r.Name, Owner: Owner{r.Creator, r.CreatedBy}, Run: r.Run,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Revision: r.Revision, Body: body(r),
	})
	return p
}

// PackRecord packs what a store has read. It fails when the body is none.
func PackRecord(rec Record) (*Packed, error) {
	if err := checkBody(string(rec.Body)); err != nil {
		return nil, err
	}
	return pack(rec)
}

func pack(rec Record) (*Packed, error) {
	data := make([]byte, 0, len(rec.Name)+len(rec.Run)+len(rec.Body)+32)
	data = appendString(data, rec.Name)
	created := rec.CreatedAt.UnixMicro()
	data = binary.AppendVarint(data, created)
	data = binary.AppendVarint(data, rec.UpdatedAt.UnixMicro()-created)
	data = binary.AppendVarint(data, rec.Revision)
	data = appendString(data, rec.Run)
	return &Packed{id: rec.ID, owner: unique.Make(rec.Owner), data: string(append(data, rec.Body...))}, nil
}

// As returns p as it is stored: with its id, the time and the revision.
func (p *Packed) As(id int64, at time.Time, revision int64) *Packed {
	rec := p.Record()
	rec.ID, rec.CreatedAt, rec.UpdatedAt, rec.Revision = id, at, at, revision
	as, _ := pack(rec) // the body is p's, which is good
	return as
}

// ID is the rule's number; 0 for one that is only staged.
func (p *Packed) ID() int64 { return p.id }

// Owner is the rule's creator.
func (p *Packed) Owner() Owner { return p.owner.Value() }

// Name is the rule's name.
func (p *Packed) Name() string {
	r := reader{rest: p.data}
	return r.str()
}

// Record is the rule as a row. The body is a copy.
func (p *Packed) Record() Record {
	rec, rest := p.head()
	rec.Body = []byte(rest)
	return rec
}

// head reads everything but the body, which it returns as it is.
func (p *Packed) head() (Record, string) {
	r := reader{rest: p.data}
	rec := Record{ID: p.id, Owner: p.owner.Value(), Name: r.str()}
	created := r.varint()
	rec.CreatedAt = micros(created)
	rec.UpdatedAt = micros(created + r.varint())
	rec.Revision = r.varint()
	rec.Run = r.str()
	return rec, r.rest
}

// zeroTime is what the zero time.Time has in microseconds.
var zeroTime = time.Time{}.UnixMicro()

func micros(n int64) time.Time {
	if n == zeroTime {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// SameContent reports whether two rules have the same name and say the same of
// the same owner, whoever's runs wrote them and whenever.
func (p *Packed) SameContent(o *Packed) bool {
	a, bodyA := p.head()
	b, bodyB := o.head()
	return a.Name == b.Name && p.owner == o.owner && bodyA == bodyB
}

// Rule unpacks the rule. Its strings share p's memory.
func (p *Packed) Rule() Rule {
	rec, rest := p.head()
	r := Rule{
		ID: rec.ID, Name: rec.Name, Creator: rec.Owner.Creator, CreatedBy: rec.Owner.Username, Run: rec.Run,
		CreatedAt: rec.CreatedAt, UpdatedAt: rec.UpdatedAt, Revision: rec.Revision,
	}
	decodeBody(rest, &r)
	return r
}

// Grants writes to r what the rule grants: id, entities, relationships, conditions
// and functions, and whether it is active. It uses r's slices again, so that many
// rules can be looked at one after the other; everything else of r stays.
func (p *Packed) Grants(r *Rule) {
	b := p.bodyReader()
	r.ID, r.Active = p.id, b.active()
	for range subjectKinds {
		for n := b.count(); n > 0; n-- {
			b.skip()
		}
	}
	b.grants(r)
}

// Size is about how many bytes the rule takes.
func (p *Packed) Size() int { return len(p.data) + 48 }

// Active reports whether the rule does anything.
func (p *Packed) Active() bool {
	b := p.bodyReader()
	return b.active()
}

func (p *Packed) bodyReader() bodyReader {
	r := reader{rest: p.data}
	r.skip()
	r.varint()
	r.varint()
	r.varint()
	r.skip()
	return bodyReader{r}
}

var errBody = errors.New("is no rule of a version that this program knows; it was written by a newer one, or is broken")

func appendString(data []byte, s string) []byte {
	return append(binary.AppendUvarint(data, uint64(len(s))), s...)
}

// reader reads packed values. After the first thing that is not what it should
// be, bad is set and everything reads as zero.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) uvarint() uint64 {
	var n uint64
	for i := 0; i < len(r.rest) && i < binary.MaxVarintLen64; i++ {
		c := r.rest[i]
		if c < 0x80 {
			if i == binary.MaxVarintLen64-1 && c > 1 || i > 0 && c == 0 {
				break // too large, or longer than it needs to be
			}
			r.rest = r.rest[i+1:]
			return n | uint64(c)<<(7*i)
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	r.bad, r.rest = true, ""
	return 0
}

// varint reads a number in zigzag form.
func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) str() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, ""
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) skip() { r.str() }

// count reads how many things follow, each of which takes at least a byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, ""
		return 0
	}
	return int(n)
}

func (r *reader) id() ID {
	n := r.uvarint()
	if n > uint64(MaxID) {
		r.bad, r.rest = true, ""
		return 0
	}
	return ID(n)
}
