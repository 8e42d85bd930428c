package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/audit"
)

const (
	// verifyPart is how many rows are read between two looks at the heads.
	verifyPart = 100_000
	// verifyBatch is how many rows the reader hands over at a time.
	verifyBatch = 256
	// verifyTries is how often a verification begins anew because retention removed
	// rows meanwhile.
	verifyTries = 3
)

// VerifyAuditLog reads the whole audit log and finds out whether it is what was
// written. known are heads that were kept elsewhere. progress, which may be nil, is
// told from time to time how many rows have been looked at, of how many. It needs
// little memory however long the log is. Rows that are added meanwhile are left to
// the next time.
func VerifyAuditLog(
	ctx context.Context, from AuditKeeper, known []audit.Head, progress func(done, all int64),
) (audit.Report, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	for try := 1; ; try++ {
		b, err := from.AuditBounds(ctx)
		if err != nil {
			return audit.Report{}, err
		}
		report, err := verifyWithin(ctx, from, b, known, progress)
		if err != nil {
			return audit.Report{}, err
		}
		now, err := from.AuditBounds(ctx)
		if err != nil {
			return audit.Report{}, err
		}
		if now.First == b.First || try == verifyTries {
			return report, nil
		}
	}
}

func verifyWithin(
	ctx context.Context, from AuditKeeper, b AuditBounds, known []audit.Head, progress func(done, all int64),
) (audit.Report, error) {
	v := audit.NewVerifier(from.AuditChain(), known...)
	all := b.Last - b.First + 1
	for first := b.First; first <= b.Last && b.Last > 0; first += verifyPart {
		last := min(first+verifyPart-1, b.Last)
		after := first - 1
		if first == b.First {
			after-- // the head that the log goes on from
		}
		if err := giveHeads(ctx, from, v, after, last); err != nil {
			return audit.Report{}, err
		}
		if err := giveRows(ctx, from, v, first, last); err != nil {
			return audit.Report{}, err
		}
		progress(last-b.First+1, all)
	}
	// Those behind the last row were stored before it was looked up.
	if err := giveHeads(ctx, from, v, b.Last, b.LastHead); err != nil {
		return audit.Report{}, err
	}
	v.End(b.End.Number, b.End.MAC)
	return v.Report(), nil
}

// giveHeads gives a verifier the stored heads numbered after one, up to another.
func giveHeads(ctx context.Context, from AuditKeeper, v *audit.Verifier, after, last int64) error {
	const page = 1000
	for after < last {
		heads, err := from.AuditHeads(ctx, after, page)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if h.Number > last {
				return nil
			}
			v.Head(h)
			after = h.Number
		}
		if len(heads) < page {
			return nil
		}
	}
	return nil
}

// giveRows reads and verifies side by side.
func giveRows(ctx context.Context, from AuditKeeper, v *audit.Verifier, first, last int64) error {
	full, empty := make(chan []AuditEntry, 1), make(chan []AuditEntry, 2)
	empty <- make([]AuditEntry, 0, verifyBatch)
	empty <- make([]AuditEntry, 0, verifyBatch)
	verified := make(chan struct{})
	go func() {
		defer close(verified)
		for batch := range full {
			for i := range batch {
				row := batch[i].Row()
				v.Row(&row, batch[i].MAC)
			}
			empty <- batch[:0]
		}
	}()
	batch := <-empty
	err := from.AuditScan(ctx, first, last, func(e *AuditEntry) error {
		batch = append(batch, *e)
		if len(batch) == verifyBatch {
			full <- batch
			batch = <-empty
		}
		return nil
	})
	full <- batch
	close(full)
	<-verified
	return err
}

// VerifyAudit is VerifyAuditLog for this service's store. One runs at a time: a
// second is 409 verify_running.
func (s *Service) VerifyAudit(ctx context.Context, known []audit.Head, progress func(done, all int64)) (audit.Report, error) {
	if !s.verifying.TryLock() {
		return audit.Report{}, fault.New(fault.Conflict, "verify_running",
			"the audit log is being verified already; wait for it to end").After(10 * time.Second)
	}
	defer s.verifying.Unlock()
	report, err := VerifyAuditLog(ctx, s.store, known, progress)
	if err != nil {
		return report, err
	}
	if !report.OK {
		first := report.Findings[0]
		s.log.ErrorContext(ctx, "the audit log is not what was written",
			"findings", int64(len(report.Findings))+report.More, "first", fmt.Sprintf("%s: %s", first.Kind, first.Detail))
	}
	return report, nil
}

// AuditFind returns the rows of the audit log that meet a query.
func (s *Service) AuditFind(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	return s.store.AuditFind(ctx, q)
}

// AuditHeads returns at most limit stored heads of the audit log numbered after one.
func (s *Service) AuditHeads(ctx context.Context, after int64, limit int) ([]audit.Head, error) {
	return s.store.AuditHeads(ctx, after, limit)
}
