package devissuer

import (
	"context"
	"fmt"
	"net"
)

// RotateKey makes a new signing key, published beside the old ones, and returns
// its kid. It is for tests.
func (i *Issuer) RotateKey() (kid string, err error) { return i.keys.rotate() }

// WithdrawKey takes a key out of the published set and reports whether it was
// there. It is for tests.
func (i *Issuer) WithdrawKey(kid string) bool { return i.keys.withdraw(kid) }

// Keys returns the published kids, the oldest first. It is for tests.
func (i *Issuer) Keys() []string { return i.keys.kids() }

// KeyFetches returns how often the key set was fetched. It is for tests.
func (i *Issuer) KeyFetches() int64 { return i.fetches.Load() }

// GoDown stops listening and cuts every connection, until ComeBack. It is for
// tests.
func (i *Issuer) GoDown() error { return i.Close() }

// ComeBack listens again on the same address. It is for tests.
func (i *Issuer) ComeBack(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", i.addr)
	if err != nil {
		return fmt.Errorf("development issuer: listen again on %s: %w", i.addr, err)
	}
	i.serve(l)
	return nil
}
