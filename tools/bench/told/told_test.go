package told

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"reflect"
	"testing"
)

func TestMiddle(t *testing.T) {
	if mid, apart := Middle([]float64{3, 1, 2}); mid != 2 || apart != 0.5 {
		t.Errorf("%g ±%g", mid, apart)
	}
	if mid, apart := Middle([]float64{0, 0}); mid != 0 || apart != 0 {
		t.Errorf("%g ±%g", mid, apart)
	}
}

func TestOnThread(t *testing.T) {
	wrong := errors.New("wrong")
	if _, err := OnThread(func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	ns, err := OnThread(func() error {
		for i, n := 0, 1; i < 1_000_000 && n != 0; i++ {
			n += n*i | 1
		}
		return nil
	})
	if err != nil || ns <= 0 {
		t.Errorf("%g ns, %v", ns, err)
	}
}

func TestCommand(t *testing.T) {
	wrong := errors.New("wrong")
	asked := []bool{}
	run := func(err error, args ...string) (string, error) {
		var out bytes.Buffer
		err = command(t.Context(), "bench it", args, &out, func(_ context.Context, quick bool) (Outcome, error) {
			asked = append(asked, quick)
			o := Outcome{Rows: [][]string{{"what"}}, Notes: []string{"so"}}
			if mid := o.Put("it", 10, []float64{3, 1, 2}); mid != 2 {
				t.Errorf("the median is %g", mid)
			}
			return o, err
		})
		return out.String(), err
	}
	text, err := run(nil, "-quick")
	var o Outcome
	if err := errors.Join(err, json.Unmarshal([]byte(text), &o)); err != nil {
		t.Fatal(err)
	}
	if want := (Outcome{[][]string{{"what"}}, []string{"so"}, map[string]Value{"it": {20, 0.5}}}); !reflect.DeepEqual(o, want) {
		t.Errorf("%+v", o)
	}
	if text, err := run(wrong); !errors.Is(err, wrong) || text != "" {
		t.Errorf("%q, %v", text, err)
	}
	if !reflect.DeepEqual(asked, []bool{true, false}) {
		t.Errorf("quick is %v", asked)
	}
	if _, err := run(nil, "-h"); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("help is %v", err)
	}
	for _, args := range [][]string{{"-fast"}, {"quick"}} {
		if text, err := run(nil, args...); err == nil || text != "" {
			t.Errorf("%q: %q, %v", args, text, err)
		}
	}
	if len(asked) != 2 {
		t.Errorf("measured %d times", len(asked))
	}
}
