package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/workers/token"
)

// FromEnv reads the part of a Config that belongs to the deployment from
// environment variables, by the names that the example workers in other languages
// use too; getenv is usually os.Getenv. All mistakes are reported at once. The
// author adds Version and Judge.
//
//	WORKER_UUID        identity, required
//	ISSUER, AUDIENCE   which tokens are good, required
//	DISCOVERY_URL      where the issuer's metadata is read, when not below ISSUER
//	CA_FILE            PEM certificates trusted for the issuer
//	HOST               interface of the listeners, default all
//	PORT, GRPC_PORT    listeners, default 8080 and 8081; 0 picks one, off turns it off
//	OPS_PORT           listener of /livez, /readyz and /metrics, default on PORT
//	MAX_BODY           bytes, default 256 MiB
//	MAX_CONCURRENT     requests in work, default 256
//	TLS_CERT_FILE, TLS_KEY_FILE   TLS on PORT and GRPC_PORT, read again when changed
//	MUSTER_URL         gateway to enrol at, which the commands of muster read too:
//	                   a shell that exports it for them makes every worker that is
//	                   started from it enrol. Then these are required too:
//	WORKER_URL         where the gateway reaches this worker
//	MUSTER_TOKEN_FILE  file with a token that may manage workers
//	WORKER_NAME        name in the registry, optional
//	GATEWAY_URL        gateway that a transformation's rules are posted to
//	GATEWAY_CA_FILE    PEM certificates trusted for it, read again when changed
func FromEnv(getenv func(string) string) (Config, error) {
	e := env{get: getenv}
	host := getenv("HOST")
	cfg := Config{
		UUID: e.required("WORKER_UUID"),
		Auth: Auth{
			Issuer: e.required("ISSUER"), Audience: e.required("AUDIENCE"),
			DiscoveryURL: getenv("DISCOVERY_URL"), CAFile: getenv("CA_FILE"),
		},
		Addr: e.addr("PORT", host), GRPCAddr: e.addr("GRPC_PORT", host), OpsAddr: e.addr("OPS_PORT", host),
		MaxBody: e.number("MAX_BODY"), MaxConcurrent: int(e.number("MAX_CONCURRENT")),
	}
	if host != "" {
		cfg.Addr = or(cfg.Addr, net.JoinHostPort(host, "8080"))
		cfg.GRPCAddr = or(cfg.GRPCAddr, net.JoinHostPort(host, "8081"))
	}
	e.tls(&cfg)
	e.gateway(&cfg)
	if gateway := getenv("MUSTER_URL"); gateway != "" {
		cfg.Enrol = &Enrol{
			Gateway: gateway, URL: e.required("WORKER_URL", enrols), Name: getenv("WORKER_NAME"),
			Token: TokenFile(e.required("MUSTER_TOKEN_FILE", enrols)),
		}
	}
	if len(e.bad) > 0 {
		return cfg, fmt.Errorf("worker: bad environment: %w", errors.Join(e.bad...))
	}
	return cfg, nil
}

// PrintListening returns a Config.Listening that writes the chosen addresses as
// one JSON line, {"listening":{"http","grpc","ops"}}, for scripts.
func PrintListening(out io.Writer) func(Addresses) {
	return func(a Addresses) {
		// Standard output that nobody reads is no reason to stop serving.
		_ = json.NewEncoder(out).Encode(map[string]Addresses{"listening": a})
	}
}

// env collects mistakes while reading variables.
type env struct {
	get func(string) string
	bad []error
}

// enrols says why a variable is wanted that a worker needs only to enrol.
const enrols = "MUSTER_URL is set, so the worker would enrol there; unset that (env -u MUSTER_URL) if it should not"

func (e *env) required(name string, because ...string) string {
	v := e.get(name)
	if v == "" {
		e.bad = append(e.bad, errors.New(strings.Join(append([]string{name + " is not set"}, because...), "; ")))
	}
	return v
}

func (e *env) addr(name, host string) string {
	v := e.get(name)
	if v == "" || v == Off {
		return v
	}
	if n, err := strconv.Atoi(v); err != nil || n < 0 || n > 65535 {
		e.bad = append(e.bad, fmt.Errorf("%s is %q; give a port from 0 to 65535, or off", name, v))
	}
	return net.JoinHostPort(host, v)
}

func (e *env) number(name string) int64 {
	v := e.get(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n <= 0 {
		e.bad = append(e.bad, fmt.Errorf("%s is %q; give a whole number above 0", name, v))
	}
	return n
}

func (e *env) tls(cfg *Config) {
	cert, key := e.get("TLS_CERT_FILE"), e.get("TLS_KEY_FILE")
	switch {
	case cert == "" && key == "":
	case cert == "" || key == "":
		e.bad = append(e.bad, errors.New("TLS_CERT_FILE and TLS_KEY_FILE go together; one of them is not set"))
	default:
		c, err := LoadTLS(cert, key)
		if err != nil {
			e.bad = append(e.bad, err)
		}
		cfg.TLS = c
	}
}

// gateway reads where rules are posted; whether that is needed, Config knows.
func (e *env) gateway(cfg *Config) {
	cfg.Gateway = e.get("GATEWAY_URL")
	if file := e.get("GATEWAY_CA_FILE"); file != "" {
		c, err := token.NewHTTPClient(file)
		if err != nil {
			e.bad = append(e.bad, fmt.Errorf("GATEWAY_CA_FILE: %w", err))
		}
		cfg.GatewayHTTP = c
	}
}
