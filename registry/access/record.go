package access

import (
	"bytes"
	"cmp"
)

// stamp tells the records that one change made, and may write, from those that
// are in sets already.
type stamp struct{ _ byte }

// body is a group with what belongs to it.
type body struct {
	made  *stamp
	group *Group
	// number stands for the group where its id would take too much room. It is of
	// this set and those made from it, and given again after the group is gone.
	number  uint32
	members list[memberItem]
	grants  list[grantItem]
	// people counts users, who may be members by several sources.
	people int
}

// copied is the same group, to be changed.
func (b *body) copied(made *stamp) *body {
	next := *b
	next.made, next.members, next.grants = made, b.members.copied(), b.grants.copied()
	return &next
}

func (b *body) is(id ID) bool { return b.group.ID == id }

// numbers are those that groups have given back.
type numbers struct {
	number uint32
	next   *numbers
}

// memberItem is a membership among those of its group.
type memberItem struct{ *Member }

func (m memberItem) compare(o memberItem) int {
	return cmp.Or(compareID(m.User, o.User), cmp.Compare(m.Source, o.Source))
}

// grantItem is a grant among others, by id.
type grantItem struct{ *Grant }

func (g grantItem) compare(o grantItem) int { return compareID(g.ID, o.ID) }

// tokenItem is a token among others, by id.
type tokenItem struct{ *Token }

func (t tokenItem) compare(o tokenItem) int { return compareID(t.ID, o.ID) }
func (t tokenItem) is(id ID) bool           { return t.ID == id }

// digestItem is a token found by its digest.
type digestItem struct{ *Token }

func (d digestItem) is(digest [32]byte) bool { return d.Digest == digest }

// userItem is a user among others, by id.
type userItem struct{ *User }

func (u userItem) compare(o userItem) int { return compareID(u.ID, o.ID) }

// boundItem is a user found by what tokens call them.
type boundItem struct{ *User }

type subjectKey struct{ issuer, subject string }

func (b boundItem) is(k subjectKey) bool { return b.Subject == k.subject && b.Issuer == k.issuer }

// emailItem is a user among others, by folded e-mail address, then by id.
type emailItem struct {
	folded string
	*User
}

func (e emailItem) compare(o emailItem) int {
	return cmp.Or(cmp.Compare(e.folded, o.folded), compareID(e.ID, o.ID))
}

// groupItem is a group among others, by name.
type groupItem struct{ *Group }

func (g groupItem) compare(o groupItem) int { return cmp.Compare(g.Name, o.Name) }

// nameItem is a group found by name, with its number.
type nameItem struct {
	*Group
	number uint32
}

func (n nameItem) is(name string) bool { return n.Name == name }

func compareID(a, b ID) int { return bytes.Compare(a[:], b[:]) }
