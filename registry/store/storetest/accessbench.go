package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// BenchAccess stores n grants and reports, in seconds, how long each part took: all
// of them together, loading them at a start, one more grant beside them, and the
// making and the removing of a group with 10,000 members and 10,000 grants.
func BenchAccess(b *testing.B, place string, open OpenAt, n int) {
	s, err := open(b.Context(), place, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	took := func(unit string, do func() error) {
		begun := time.Now()
		if err := do(); err != nil {
			b.Fatal(unit, err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), unit)
	}
	apply := func(d access.Delta) error {
		_, err := s.Write(b.Context(), func(ctx context.Context, tx registry.Tx) error { return tx.ApplyAccess(ctx, &d) })
		return err
	}
	const groups = 1000
	d := accessOp{Kind: opPeople}.delta()
	for i := range groups {
		d.Groups = append(d.Groups, groupOf(townGroup+1+i))
	}
	for i := range n {
		g := grantOf(1_000_000+i, townGroup+1+i%groups)
		g.Resource = fmt.Sprintf("resource-%07d", i)
		d.Grants = append(d.Grants, g)
	}
	rounds := 0
	for b.Loop() {
		if rounds++; rounds > 1 {
			b.Fatal("a second round would find the rows there; run it with -benchtime=1x")
		}
		took("store-s", func() error { return apply(d) })
		took("load-s", func() error {
			c, err := s.Load(b.Context(), 0)
			if err == nil && len(c.Access.Grants) != n {
				err = fmt.Errorf("%d grants", len(c.Access.Grants))
			}
			return err
		})
		took("one-s", func() error { return apply(access.Delta{Grants: []access.Grant{grantOf(1, townGroup+1)}}) })
		took("group-s", func() error { return apply(accessOp{Kind: opTown}.delta()) })
		took("remove-group-s", func() error { return apply(accessOp{Kind: opNoGroup, Group: townGroup}.delta()) })
	}
	if err := s.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
