package audit

import (
	"bytes"
	"strings"
	"testing"
)

// rewrite is what somebody does who can write to the store, knows the encoding and
// has no key: every row chained anew, with another name in one.
func (l *log) rewrite(with *Keys) {
	var prev []byte
	for i := range l.lines {
		x := &l.lines[i]
		if x.row.Number == 9 {
			x.row.Username = "bob"
		}
		prev = with.Seal(prev, &x.row)
		x.mac = prev
	}
	l.end.MAC, l.heads = prev, nil
}

// A log that was written anew from its first row on looks like one from before
// there was a key. The report says that no row has one, and a head that was kept
// elsewhere finds it.
func TestRewrittenLog(t *testing.T) {
	keys := testKeys(t, 1)
	l := chain(keys, 0, 30, 10)
	kept := l.heads[len(l.heads)-1]
	l.rewrite(nil)
	got := l.verify(keys)
	if len(got.Keys) != 1 || got.Keys[0].ID != "" || got.Keys[0].Rows != 30 || got.Heads != 0 {
		t.Errorf("%+v", got)
	}
	if got := l.verify(keys, kept); got.OK || !strings.HasPrefix(shortly(got), "replaced ") {
		t.Errorf("with a head: %s", shortly(got))
	}
	// A key of their own is none of those that were given.
	l.rewrite(testKeys(t, 2))
	if got := l.verify(keys); got.OK || shortly(got) != "unknown_key 1-30" {
		t.Errorf("with a key of their own: %s", shortly(got))
	}
	// Nor is a head of theirs one of the store's.
	h := Head{Number: 30, MAC: l.end.MAC}
	if testKeys(t, 2).SignHead(&h); keys.CheckHead(&h) == nil {
		t.Error("a head of another key holds")
	}
	h.KeyID = keys.Current()
	if keys.CheckHead(&h) == nil {
		t.Error("a head with the id of a key that did not sign it holds")
	}
}

// A head cannot be taken for a row, nor a row of the one number for the other.
func TestHeadIsNoRow(t *testing.T) {
	keys := testKeys(t, 1)
	r := testRow(7)
	mac := keys.Seal(nil, &r)
	h := Head{Number: 7, MAC: mac}
	keys.SignHead(&h)
	if bytes.Equal(h.Signature, mac) || len(h.Signature) != Size {
		t.Errorf("%x signs %x", h.Signature, mac)
	}
	h.Number = 8
	if keys.CheckHead(&h) == nil {
		t.Error("the signature holds for another row")
	}
}
