package verdict

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/element"
)

// TestRunsOfVisibleElements holds the walk by words to a walk by elements.
func TestRunsOfVisibleElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(t, "n")
		s := NewHidden(n)
		if rapid.Bool().Draw(t, "mostly visible") {
			s = NewWhole(n)
		}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, max(n-1, 0)), 0, 20).Draw(t, "turned") {
			switch {
			case n == 0:
			case s.Visible(i):
				s.Hide(i)
			default:
				s.Show(i)
			}
		}
		first := func(from int, visible bool) int {
			for ; from < n && s.Visible(from) != visible; from++ {
			}
			return from
		}
		runs := 0
		for i := range n {
			if got, want := s.next(i), first(i, true); got != want {
				t.Fatalf("next(%d) = %d, want %d", i, got, want)
			}
			if got, want := s.gap(i), first(i, false); got != want {
				t.Fatalf("gap(%d) = %d, want %d", i, got, want)
			}
			if s.Visible(i) && (i == 0 || !s.Visible(i-1)) {
				runs++
			}
		}
		if s.next(n) != n || s.gap(n) != n || s.runs() != runs {
			t.Fatalf("at the end %d and %d of %d; %d runs, want %d", s.next(n), s.gap(n), n, s.runs(), runs)
		}
	})
}

// TestAnswersInWholeRuns holds the answer that takes elements by runs to one put
// together element by element.
func TestAnswersInWholeRuns(t *testing.T) {
	const n = 150
	r := request(t, string(sampleBody(n)))
	defer r.Release()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		s := NewWhole(n)
		var kept [][]byte
		share := 1 + rnd.IntN(20)
		for i := range n {
			if rnd.IntN(20) < share {
				s.Hide(i)
			} else {
				kept = append(kept, r.Nodes.Raw(i))
			}
		}
		want := `{"result":{"nodes":[` + string(bytes.Join(kept, []byte(","))) + `]}}`
		if got := written(t, NewAnswer(r, s, nil, AnswerOptions{})); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	}
}

// hiding is the reply of a worker that hides so many elements after each that it
// shows.
func hiding(b *element.Batch, gap int) (reply []byte, shown int) {
	var list [][]byte
	for i := 0; i < b.Len(); i += gap + 1 {
		list = append(list, b.Raw(i))
	}
	return append(append([]byte(`{"result":{"nodes":[`), bytes.Join(list, []byte(","))...), `]}}`...), len(list)
}

// TestGapsOfEveryLength: however many elements in a row a worker hides, and
// however its reply is cut on the way, those that came back are found.
func TestGapsOfEveryLength(t *testing.T) {
	const n = 700
	for _, gap := range []int{0, 1, 3, 4, 5, 20, nearby - 2, nearby - 1, nearby, nearby + 1, 300, n} {
		r := request(t, string(sampleBody(n)))
		reply, shown := hiding(r.Nodes, gap)
		readers := map[string]*Set{}
		for name, in := range map[string]func() (*Set, error){
			"whole": func() (*Set, error) { return ReadReply(bytes.NewReader(reply), r.Nodes, ReplyOptions{}, nil) },
			"halves": func() (*Set, error) {
				return ReadReply(iotest.HalfReader(bytes.NewReader(reply)), r.Nodes, ReplyOptions{}, nil)
			},
			"bytes": func() (*Set, error) {
				return ReadReply(iotest.OneByteReader(bytes.NewReader(reply)), r.Nodes, ReplyOptions{}, nil)
			},
		} {
			set, err := in()
			if err != nil {
				t.Fatalf("gaps of %d, %s: %v", gap, name, err)
			}
			readers[name] = set
		}
		for name, set := range readers {
			for i := range n {
				if set.Visible(i) != (i%(gap+1) == 0) {
					t.Fatalf("gaps of %d, %s: element %d", gap, name, i)
				}
			}
			if set.CountVisible() != shown {
				t.Fatalf("gaps of %d, %s: %d of %d", gap, name, set.CountVisible(), shown)
			}
		}
		r.Release()
	}
}

// TestRunsStopAtWhatIsWrong: an element that is repeated, foreign or followed by
// the wrong byte within a run is seen.
func TestRunsStopAtWhatIsWrong(t *testing.T) {
	r := request(t, string(sampleBody(40)))
	defer r.Release()
	raw := func(i int) string { return string(r.Nodes.Raw(i)) }
	list := func(parts ...string) string { return `{"result":{"nodes":[` + strings.Join(parts, ",") + `]}}` }
	foreign := strings.Replace(raw(3), `"elementId":"4:`, `"elementId":"5:`, 1)
	for reply, want := range map[string]string{
		list(raw(0), raw(1), raw(1), raw(2)):                               ReasonRepeatedID,
		list(raw(0), raw(1), raw(0), raw(2)):                               ReasonRepeatedID,
		list(raw(0), raw(1), raw(2), raw(1)):                               ReasonRepeatedID,
		list(raw(0), foreign, raw(2)):                                      ReasonForeignID,
		list(raw(0), raw(1), ""):                                           ReasonWrongShape,
		list(raw(0), raw(1)+";"+raw(2)):                                    ReasonNotJSON,
		list(raw(0), "", raw(1)):                                           ReasonWrongShape,
		strings.TrimSuffix(list(raw(0), raw(1), raw(2)), `]}}`):            ReasonNotJSON,
		strings.TrimSuffix(list(raw(0), raw(1), raw(2)), `]}}`) + `,`:      ReasonNotJSON,
		list(raw(0), raw(1), strings.TrimSuffix(raw(2), "}")+`,"more":1}`): ReasonAddedMember,
	} {
		_, err := ReadReply(strings.NewReader(reply), r.Nodes, ReplyOptions{}, nil)
		var v *Violation
		if got := fmt.Sprint(err); !errors.As(err, &v) || v.Reason != want {
			t.Errorf("%s\nis %s, want %s", reply[len(reply)-60:], got, want)
		}
	}
}
