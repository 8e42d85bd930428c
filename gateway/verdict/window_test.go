package verdict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReadersOfAllSorts: however the bytes arrive, the verdicts are the same.
func TestReadersOfAllSorts(t *testing.T) {
	b := batches(t)[0]
	for _, anew := range []bool{false, true} {
		text := replyOf(b, anew)
		for name, r := range map[string]io.Reader{
			"one byte":        iotest.OneByteReader(bytes.NewReader(text)),
			"half":            iotest.HalfReader(bytes.NewReader(text)),
			"end with data":   iotest.DataErrReader(bytes.NewReader(text)),
			"nothing between": &idle{r: bytes.NewReader(text)},
		} {
			s, err := ReadReply(r, b, ReplyOptions{}, nil)
			if err != nil || s.CountVisible() != b.Len() || len(s.Strips()) != 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// idle reads nothing every second time.
type idle struct {
	r     io.Reader
	ready bool
}

func (i *idle) Read(p []byte) (int, error) {
	if i.ready = !i.ready; i.ready {
		return 0, nil
	}
	return i.r.Read(p)
}

func TestReaderThatNeverGivesAnything(t *testing.T) {
	_, err := ReadReply(iotest.ErrReader(nil), batches(t)[0], ReplyOptions{}, nil)
	if !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

// TestLimitHoldsForEveryPart: a reply that never ends is cut off, in whatever
// part of it the excess lies, and an honest one just within the limit is not.
func TestLimitHoldsForEveryPart(t *testing.T) {
	b := batches(t)[0]
	whole := replyOf(b, false)
	for name, endless := range map[string]string{
		"white space": ` `,
		"a string":    `{"result":{"nodes":[{"elementId":"x`,
		"an extra":    `{"extra":[[[`,
		"a name":      `{"resu`,
		"an element":  `{"result":{"nodes":[{"elementId":"4:d2b1:1000","labels":["`,
	} {
		r := io.MultiReader(strings.NewReader(endless), repeat(endless[len(endless)-1]))
		_, err := ReadReply(r, b, ReplyOptions{MaxBytes: 1 << 16}, nil)
		var v *Violation
		if !errors.As(err, &v) || v.Reason != ReasonTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadReply(bytes.NewReader(whole), b, ReplyOptions{MaxBytes: int64(len(whole))}, nil); err != nil {
		t.Error(err)
	}
	if _, err := ReadReply(bytes.NewReader(whole), b, ReplyOptions{MaxBytes: int64(len(whole)) - 1}, nil); err == nil {
		t.Error("one byte too many was taken")
	}
}

type repeat byte

func (c repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

// TestChunkAnswersItsOwnElementsOnly: a worker that is asked in pieces may not
// answer with elements of another piece, though they are the caller's.
func TestChunkAnswersItsOwnElementsOnly(t *testing.T) {
	b := batches(t)[0]
	reply := func(i int) io.Reader {
		return strings.NewReader(fmt.Sprintf(`{"result":{"nodes":[%s]}}`, b.Raw(i)))
	}
	for i := range b.Len() {
		s, err := ReadReply(reply(i), b, ReplyOptions{From: 4, To: 8}, nil)
		if inside := i >= 4 && i < 8; inside != (err == nil) {
			t.Errorf("element %d: %v", i, err)
		} else if inside && (s.Len() != 4 || !s.Visible(i-4) || s.CountVisible() != 1) {
			t.Errorf("element %d: %d visible of %d", i, s.CountVisible(), s.Len())
		}
	}
}
