package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

const (
	defaultURL = "http://127.0.0.1:8080"
	// callTimeout bounds a management call: a registration takes up to 5 s at
	// the worker.
	callTimeout = 30 * time.Second
	// maxAnswer bounds answers of management calls.
	maxAnswer = 64 << 20
	// expectFrom is the size from which a gateway is asked first whether it takes
	// a body: one that refuses it may close the connection while it is sent, and
	// its reason would be lost.
	expectFrom    = 64 << 10
	expectTimeout = 2 * time.Second
	// maxToken bounds a token, as the gateway does.
	maxToken = 16 << 10
)

// client calls one gateway. It is made once per command and closed at its end.
type client struct {
	base  *url.URL
	token string
	// kept returns the token of a kept login, for a client that was given none.
	kept  func(ctx context.Context) (string, error)
	agent string
	http  *http.Client
}

// answer is a 2xx answer.
type answer struct {
	body   []byte
	header http.Header
}

// address is the gateway's, by --url, MUSTER_URL or the default.
func (s *shell) address() (*url.URL, error) {
	address := s.url
	if address == "" {
		address = s.env["MUSTER_URL"]
	}
	if address == "" {
		address = defaultURL
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, usagef("give it as http://HOST:PORT, by --url or MUSTER_URL", "the gateway's address is not an http or https URL")
	}
	return base, nil
}

// connect makes the client that the global flags and the environment ask for.
func (s *shell) connect() (*client, error) {
	base, err := s.address()
	if err != nil {
		return nil, err
	}
	token, err := s.bearer()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,

		ExpectContinueTimeout: expectTimeout,
	}
	if s.caFile != "" {
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return nil, usagef("name a PEM file", "--ca-file cannot be read: %v", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usagef("name a PEM file", "--ca-file %s holds no certificate", s.caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	kept := func(ctx context.Context) (string, error) {
		return s.keptToken(ctx, strings.TrimSuffix(base.String(), "/"))
	}
	return &client{base: base, token: token, kept: kept, agent: "muster-cli/" + s.versions().Version, http: &http.Client{
		Transport: transport,
		// A redirect would carry the token to another address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// bearer returns the token: from --token, --token-file, MUSTER_TOKEN or
// MUSTER_TOKEN_FILE, the first of them that is there; empty without any.
func (s *shell) bearer() (string, error) {
	file := s.tokenFile
	switch {
	case s.token != "" && file != "":
		return "", usagef("give one of them", "--token and --token-file are both set")
	case s.token != "":
		s.say("a token on the command line can be read by every user of this machine; MUSTER_TOKEN or --token-file keeps it private")
		return checkToken(s.token, "--token")
	case file == "" && s.env["MUSTER_TOKEN"] != "":
		return checkToken(s.env["MUSTER_TOKEN"], "MUSTER_TOKEN")
	case file == "":
		file = s.env["MUSTER_TOKEN_FILE"]
	}
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", usagef("name a file that holds the token and nothing else", "the token's file cannot be read: %v", err)
	}
	return checkToken(string(data), file)
}

func checkToken(text, from string) (string, error) {
	token := strings.TrimSpace(text)
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usagef("it is one word of at most 16 KiB, as a token endpoint gives it", "%s holds no token", from)
	}
	return token, nil
}

// request is one call.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
	// timeout bounds the call; 0 takes callTimeout.
	timeout time.Duration
	// maxAnswer bounds the answer; 0 takes maxAnswer.
	maxAnswer int64
}

// call makes a request and returns its 2xx answer. Every error is a *trouble
// with the exit code that belongs to it.
func (c *client) call(ctx context.Context, r request) (*answer, error) {
	if r.timeout == 0 {
		r.timeout = callTimeout
	}
	if r.maxAnswer == 0 {
		r.maxAnswer = maxAnswer
	}
	bounded, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	target := c.base.JoinPath(r.path)
	target.RawQuery = r.query.Encode()
	where := r.method + " " + target.String()
	req, err := http.NewRequestWithContext(bounded, r.method, target.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, &trouble{code: ExitFailed, what: "the request could not be made: " + err.Error(), where: where, cause: err}
	}
	maps.Copy(req.Header, r.header)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if len(r.body) >= expectFrom {
		req.Header.Set("Expect", "100-continue")
	}
	if err := c.authorize(ctx, req); err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, where, r.timeout, err)
	}
	// The body has been read as far as it is wanted; a failed close changes nothing.
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(ctx, where, r.timeout, err)
	}
	if int64(len(body)) > r.maxAnswer {
		return nil, &trouble{code: ExitFailed, what: fmt.Sprintf("the answer is larger than %d bytes", r.maxAnswer), where: where}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, c.refused(where, resp, body)
	}
	return &answer{body: body, header: resp.Header}, nil
}

// authorize shows the token that was given, or else that of a kept login.
func (c *client) authorize(ctx context.Context, req *http.Request) error {
	if c.token == "" && c.kept != nil {
		var err error
		if c.token, err = c.kept(ctx); err != nil {
			return err
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return nil
}

func (c *client) unreachable(ctx context.Context, where string, timeout time.Duration, err error) error {
	if ctx.Err() != nil {
		return &trouble{code: ExitFailed, what: "interrupted", where: where, cause: err}
	}
	what := "the gateway cannot be reached"
	do := "check that it runs there, and --url or MUSTER_URL"
	var certErr *tls.CertificateVerificationError
	var urlErr *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		what = fmt.Sprintf("the gateway gave no answer within %s", timeout)
	case errors.As(err, &certErr):
		what, do = "the gateway's certificate is not trusted: "+certErr.Err.Error(), "name the certificates that sign it with --ca-file"
	case errors.As(err, &urlErr):
		what += ": " + urlErr.Err.Error()
	default:
		what = "the connection broke: " + err.Error()
	}
	return &trouble{code: ExitUnavailable, what: what, where: where, do: do, cause: err}
}

// refused reads a problem of RFC 9457 or an error body of the contract.
func (c *client) refused(where string, resp *http.Response, body []byte) error {
	var said struct {
		Code        string            `json:"code"`
		Detail      string            `json:"detail"`
		Description string            `json:"description"`
		Error       string            `json:"error"`
		Worker      *fault.WorkerRef  `json:"worker"`
		Errors      []fault.Violation `json:"errors"`
	}
	kind := fault.HTTPKind(resp.StatusCode)
	if err := json.Unmarshal(body, &said); err != nil || said.Code+said.Error == "" {
		return &trouble{
			code: codeOfKind(kind), where: where,
			what: fmt.Sprintf("answered %s, and not in Muster's words", resp.Status),
			do:   "check that --url or MUSTER_URL names a gateway of Muster and nothing in front of it answers",
		}
	}
	e := fault.New(kind, said.Code+said.Error, "%s", said.Detail+said.Description)
	e.Worker, e.Violations = said.Worker, said.Errors
	if w := said.Worker; w != nil {
		// A worker's own words come prefixed by its name, which Error writes too.
		e.Detail = strings.TrimPrefix(e.Detail, "worker "+w.Name+": ")
	}
	var what strings.Builder
	what.WriteString(e.Error())
	for _, v := range e.Violations {
		if len(e.Violations) == 1 && v.Detail == e.Detail {
			break // said already
		}
		what.WriteString("\n  " + strings.TrimSpace(v.Pointer+" "+v.Code+": "+v.Detail))
	}
	return &trouble{code: codeOfKind(kind), what: what.String(), where: where, do: c.advice(e, resp.Header), cause: e}
}

// advice says what to do about an answer.
func (c *client) advice(e *fault.Error, h http.Header) string {
	wait := ""
	if after := h.Get("Retry-After"); after != "" {
		wait = "try again in " + after + " s"
	}
	switch e.Code {
	case "unreachable", "timeout", "bad_status", "redirected", "not_json", "empty_answer", "missing_field":
		return "start the worker and check its URL: the root of that address has to answer who it is"
	case "address_refused":
		return "workers may live where workers.allowedCIDRs (MUSTER_WORKERS_ALLOWEDCIDRS) of the gateway says"
	case "uuid_taken", "url_taken":
		return "muster worker list shows who has it; muster worker update or delete changes that one"
	case "login_token_required":
		return "use a token from a login, not a personal access token"
	}
	switch e.Kind {
	case fault.Unauthenticated:
		if c.token == "" {
			return "there was no token: run muster login, or put one into MUSTER_TOKEN or a file for --token-file (muster dev token admin prints one of the development issuer)"
		}
		return "run muster login, or get a fresh token from the issuer that the gateway trusts (muster dev token admin prints one of the development issuer)"
	case fault.Denied:
		return "muster whoami shows what counts of you; an administrator can grant what is missing (muster admin grant create)"
	case fault.NotFound:
		return "muster worker list shows what there is"
	case fault.Precondition:
		return "look at the record again (muster worker get) and repeat the change for its present revision"
	default:
		return wait
	}
}
