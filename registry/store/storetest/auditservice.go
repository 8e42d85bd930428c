package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// Retention removes whole segments that are old enough, and what is left verifies.
func testRetention(t *testing.T, b Backend) {
	place, keys := b.Place(t), chainKeys(t, 1)
	s := b.chained(t, place, keys)
	defer func() { closed(t, s) }()
	for i := range 5 {
		appendRows(t, s, 10, noon.Add(time.Duration(i)*time.Hour))
		seal(t, s, noon.Add(time.Duration(i)*time.Hour))
	}
	drop := func(before time.Time, most int64) (end audit.Head, rows int64, ok bool) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx registry.Tx) (err error) {
			end, rows, ok, err = tx.DropAudit(ctx, before, most)
			return err
		})
		return end, rows, ok
	}
	if _, _, ok := drop(noon, 100); ok {
		t.Error("rows were removed that are not old enough")
	}
	if _, _, ok := drop(noon.Add(time.Hour), 5); ok {
		t.Error("half a segment was removed")
	}
	end, rows, ok := drop(noon.Add(90*time.Minute), 10)
	if !ok || end.Number != 10 || rows != 10 {
		t.Errorf("one segment: %s, %d, %v", end, rows, ok)
	}
	end, rows, ok = drop(noon.Add(2*time.Hour+time.Minute), 100)
	if !ok || end.Number != 30 || rows != 20 {
		t.Errorf("two more: %s, %d, %v", end, rows, ok)
	}
	if all := heads(t, s); len(all) != 3 || all[0].Number != 30 {
		t.Errorf("heads %v", all)
	}
	if r := verified(t, s); shortly(r) != "removed 1-30" {
		t.Errorf("without a word in the log: %s", shortly(r))
	}
	// A head that is not that of its row is no place to cut.
	closed(t, s)
	b.Behind(t, place, `UPDATE audit_heads SET signature = mac WHERE number = 40`)
	s = b.chained(t, place, keys)
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		_, _, _, err := tx.DropAudit(ctx, noon.Add(200*time.Minute), 100)
		return err
	})
	if !fault.Is(err, "audit_head_bad") {
		t.Errorf("a forged head: %v", err)
	}
}

func testRetentionRuns(t *testing.T, b Backend) {
	place, keys := b.Place(t), chainKeys(t, 1)
	st := b.chained(t, place, keys)
	for range 3 {
		appendRows(t, st, 10, noon)
		seal(t, st, noon)
	}
	appendRows(t, st, 5, noon)
	svc, err := registry.Open(t.Context(), st, registry.Options{
		Logger: logger(t), Inspector: newFleet(), AuditRetention: time.Hour,
		Clock: func() time.Time { return noon.Add(2 * time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is too old is gone", func() bool {
		got, err := svc.AuditFind(t.Context(), registry.AuditQuery{Oldest: true, Limit: 1})
		return err == nil && len(got) == 1 && got[0].Number == 31
	})
	var last audit.Pruned
	eventually(t, "the log says so", func() bool {
		got, err := svc.AuditFind(t.Context(), registry.AuditQuery{Action: audit.ActionPruned, Limit: 10})
		return err == nil && len(got) == 1 && json.Unmarshal(got[0].After, &last) == nil && last.Through == 30
	})
	r, err := svc.VerifyAudit(t.Context(), nil, nil)
	if err != nil || !r.OK || r.Pruned != 30 || r.Looked.First != 31 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := svc.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func testAuditFind(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		for i := range 60 {
			e := entry(i)
			e.At = noon.Add(time.Duration(i) * time.Minute)
			e.Action = []string{"worker.updated", "worker.paused", "rule.posted"}[i%3]
			e.Actor.Username = []string{"alice", "bob"}[i%2]
			e.Actor.Token = fmt.Sprintf("token-%d", i)
			e.Resource = fmt.Sprintf("worker:%d", i%5)
			if i == 30 {
				e.Result = "denied"
			}
			if err := tx.Audit(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	for name, c := range map[string]struct {
		q    registry.AuditQuery
		want []int64
	}{
		"the newest":         {registry.AuditQuery{Limit: 3}, []int64{60, 59, 58}},
		"the oldest":         {registry.AuditQuery{Limit: 3, Oldest: true}, []int64{1, 2, 3}},
		"behind":             {registry.AuditQuery{Limit: 2, Oldest: true, After: 10}, []int64{11, 12}},
		"before":             {registry.AuditQuery{Limit: 2, Before: 10}, []int64{9, 8}},
		"an action":          {registry.AuditQuery{Limit: 2, Action: "worker.paused"}, []int64{59, 56}},
		"a beginning":        {registry.AuditQuery{Limit: 3, Action: "worker.*"}, []int64{59, 58, 56}},
		"no pattern":         {registry.AuditQuery{Limit: 3, Action: "worker.%"}, nil},
		"a star alone":       {registry.AuditQuery{Limit: 1, Action: "*"}, []int64{60}},
		"a username":         {registry.AuditQuery{Limit: 2, Actor: "alice"}, []int64{59, 57}},
		"a token":            {registry.AuditQuery{Limit: 2, Actor: "token-7"}, []int64{8}},
		"a resource":         {registry.AuditQuery{Limit: 2, Resource: "worker:0"}, []int64{56, 51}},
		"a result":           {registry.AuditQuery{Limit: 2, Result: "denied"}, []int64{31}},
		"since":              {registry.AuditQuery{Limit: 2, Oldest: true, Since: noon.Add(5 * time.Minute)}, []int64{6, 7}},
		"until":              {registry.AuditQuery{Limit: 2, Until: noon.Add(5 * time.Minute)}, []int64{5, 4}},
		"everything at once": {registry.AuditQuery{Limit: 9, Action: "worker.*", Actor: "bob", Resource: "worker:3", Since: noon, Until: noon.Add(40 * time.Minute), After: 1, Before: 40}, []int64{34, 14, 4}},
	} {
		got, err := s.AuditFind(t.Context(), c.q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var numbers []int64
		for _, e := range got {
			numbers = append(numbers, e.Number)
		}
		if !slices.Equal(numbers, c.want) {
			t.Errorf("%s: %v, want %v", name, numbers, c.want)
		}
	}
}

// Refusals are a row for each address and reason, however many there were.
func testRefusals(t *testing.T, b Backend) {
	svc := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.RefusalInterval = 10 * time.Millisecond })
	const each = 100
	sent := map[string]string{
		"192.0.2.7:1234": "192.0.2.7", "192.0.2.7": "192.0.2.7", "[::ffff:192.0.2.7]:80": "192.0.2.7",
		"[2001:db8::1%eth0]:443": "2001:db8::/64", "2001:db8:0:0:1::9": "2001:db8::/64", "2001:db8:0:1::9": "2001:db8:0:1::/64",
		"@": "unknown",
	}
	var wg sync.WaitGroup
	for address := range sent {
		wg.Go(func() {
			for range each {
				svc.CountRefusal(address, "invalid_token")
			}
		})
	}
	wg.Wait()
	got := map[string]int64{}
	eventually(t, "all are counted", func() bool {
		clear(got)
		rows, err := svc.AuditFind(t.Context(), registry.AuditQuery{Action: registry.ActionLoginFailed, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var all int64
		for _, e := range rows {
			var after struct {
				Count       int64
				First, Last time.Time
			}
			if err := json.Unmarshal(e.After, &after); err != nil || after.Last.Before(after.First) || after.First.IsZero() {
				t.Fatalf("%s, %v", e.After, err)
			}
			if e.Resource != "auth" || e.Result != "invalid_token" || e.Actor.Username != "" {
				t.Fatalf("%+v", e)
			}
			got[e.Actor.Address] += after.Count
			all += after.Count
		}
		return all == int64(len(sent)*each)
	})
	want := map[string]int64{"192.0.2.7": 3 * each, "2001:db8::/64": 2 * each, "2001:db8:0:1::/64": each, "unknown": each}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// gated is a store whose next transaction can be held up, and which can fail.
type gated struct {
	registry.Store
	at chan struct{} // closed when the transaction is held up

	mu      sync.Mutex
	gate    chan struct{}
	failing bool
	failed  int
}

func (g *gated) hold(gate chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate = gate
}

func (g *gated) fail(failing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failing = failing
}

func (g *gated) failures() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

func (g *gated) Write(ctx context.Context, fn func(context.Context, registry.Tx) error) (registry.Revision, error) {
	g.mu.Lock()
	gate, failing := g.gate, g.failing
	g.gate = nil
	if failing {
		g.failed++
	}
	g.mu.Unlock()
	if gate != nil {
		close(g.at)
		<-gate
	}
	if failing {
		return 0, fault.New(fault.Unavailable, "store_unavailable", "the store fails")
	}
	return g.Store.Write(ctx, fn)
}

// A flood of refusals, from ever other addresses, is a bounded number of rows in
// small transactions, between which those who change something have their turn.
func testRefusalFlood(t *testing.T, b Backend) {
	gate := make(chan struct{})
	st := &gated{Store: opened(t, b.New(t)), at: make(chan struct{})}
	f := newFleet().serve(Worker(1))
	svc, err := registry.Open(t.Context(), st, registry.Options{Logger: logger(t), Inspector: f, RefusalInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	register(t, svc, Worker(1))
	st.hold(gate)
	svc.CountRefusal("192.0.2.1", "invalid_token")
	<-st.at // it is being written: what comes now is written together
	const flood = 20_000
	for i := range flood {
		svc.CountRefusal(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "invalid_token")
	}
	changed, asked := make(chan error, 1), make(chan struct{})
	go func() {
		close(asked)
		_, err := svc.Deregister(t.Context(), admin, Worker(1).ID)
		changed <- err
	}()
	<-asked
	close(gate)
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	var rows []registry.AuditEntry
	eventually(t, "all are written", func() bool {
		if rows, err = svc.AuditFind(t.Context(), registry.AuditQuery{Limit: 10_000, Oldest: true}); err != nil {
			t.Fatal(err)
		}
		return refusedIn(t, rows) == flood+1
	})
	perChange := map[registry.Revision]int{}
	var refusals int
	var removed, last int64
	for _, e := range rows {
		switch e.Action {
		case registry.ActionLoginFailed:
			refusals++
			perChange[e.Revision]++
			last = e.Number
		case registry.ActionDeleted:
			removed = e.Number
		}
	}
	if refusals > 1+1000+1 {
		t.Errorf("%d rows", refusals)
	}
	for rev, n := range perChange {
		if n > 20 {
			t.Errorf("%d rows in the transaction of revision %d", n, rev)
		}
	}
	if removed > last {
		t.Errorf("the change is row %d, behind all %d of the flood", removed, refusals)
	}
	if err := svc.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// refusedIn is how many refusals the rows tell of.
func refusedIn(t testing.TB, rows []registry.AuditEntry) (all int64) {
	t.Helper()
	for _, e := range rows {
		if e.Action != registry.ActionLoginFailed {
			continue
		}
		var after struct{ Count int64 }
		if err := json.Unmarshal(e.After, &after); err != nil {
			t.Fatal(err)
		}
		all += after.Count
	}
	return all
}

// testLastRefusals: what was counted since the last time is written at Close, and so
// is what a failing store did not take at first.
func testLastRefusals(t *testing.T, b Backend) {
	open := b.New(t)
	st, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	g := &gated{Store: st, at: make(chan struct{})}
	svc, err := registry.Open(t.Context(), g, registry.Options{Logger: slog.New(slog.DiscardHandler), Inspector: newFleet(), RefusalInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	g.fail(true)
	for range 50 {
		svc.CountRefusal("192.0.2.1", "invalid_token")
	}
	eventually(t, "writing fails", func() bool { return g.failures() > 2 })
	g.fail(false)
	svc.CountRefusal("192.0.2.1", "user_inactive")
	if err := svc.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := trail(t, opened(t, open))
	if n := refusedIn(t, rows); n != 51 {
		t.Errorf("%d of 51 are there: %+v", n, rows)
	}
}
