package cli

import (
	"context"
	"os"
	"time"

	"github.com/muster-fleet/muster/workers/workertest"
)

// issuerWait is how long a worker may take that is started for the suite's issuer.
const issuerWait = 30 * time.Second

// conformTokens sets where the suite's tokens come from. stop ends what it started
// and is never nil.
func (s *shell) conformTokens(ctx context.Context, f conformFlags, o *workertest.Options) (stop func(), err error) {
	stop = func() {}
	if f.issuer != "" && f.expiredTokenFile != "" {
		return stop, usagef("give one of them; --issuer makes expired tokens itself", "--issuer and --expired-token-file are both set")
	}
	if f.issuer != "" {
		return s.beIssuer(ctx, f, o)
	}
	token, err := s.bearer()
	if err != nil {
		return stop, err
	}
	switch {
	case f.expiredTokenFile != "" && token == "":
		return stop, usagef("give the good one too, by MUSTER_TOKEN or --token-file", "--expired-token-file needs a good token beside it")
	case f.expiredTokenFile != "":
		o.Tokens, err = withExpired(token, f.expiredTokenFile)
	case token != "":
		o.Tokens = workertest.StaticTokens(token)
	}
	return stop, err
}

func withExpired(token, file string) (workertest.Tokens, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("name a file that holds the token and nothing else", "--expired-token-file cannot be read: %v", err)
	}
	expired, err := checkToken(string(data), file)
	if err != nil {
		return nil, err
	}
	t, err := workertest.StaticTokensWithExpired(token, expired)
	if err != nil {
		return nil, usagef("give a token that the worker took until it expired", "--expired-token-file: %v", err)
	}
	return t, nil
}

// beIssuer runs the issuer of the suite's tokens until stop is called.
func (s *shell) beIssuer(ctx context.Context, f conformFlags, o *workertest.Options) (stop func(), err error) {
	is, err := workertest.NewIssuerAt(ctx, f.issuer)
	if err != nil {
		return func() {}, usagef("give a free loopback HOST:PORT; muster dev has its own issuer on 8180", "--issuer: %v", err)
	}
	if f.wait == 0 {
		o.Wait = issuerWait
	}
	o.Tokens = is
	s.say("issuing tokens as %s for the audience %s, to alice; the worker has to trust exactly that (waiting up to %s for it)",
		is.URL(), workertest.Audience, o.Wait)
	return func() {
		if err := is.Close(); err != nil {
			s.say("warning: %v", err)
		}
	}, nil
}
