package workertest

import "testing"

// RunT runs the suite as subtests, one per case, named level/case. A case that
// could not be tried is skipped in t, too; one that is not for this worker, or
// that is NotProved, passes and logs why; a worker that cannot be reached fails t.
// The report is returned for further checks.
func RunT(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cases {
		t.Run(string(c.Level)+"/"+c.Name, func(t *testing.T) {
			switch c.Status {
			case Fail:
				t.Errorf("%s (seed %d)", c.Detail, r.Seed)
			case Skip:
				if c.Unproven {
					t.Skip(c.Detail)
				}
				t.Log(c.Detail)
			case NotProved:
				t.Logf("%s: %s", c.Status, c.Detail)
			case Pass:
			}
		})
	}
	return r
}
