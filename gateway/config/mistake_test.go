package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/config"
)

// keyPair makes a certificate of its own and returns its files.
func keyPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	key = write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})))
	return cert, key
}

func TestAllMistakesAtOnce(t *testing.T) {
	file := write(t, "muster.yaml", `config_version: 1
htp:
  addr: ":1"
http:
  adr: ":1"
  addr:
limits: 5
limits:
  maxBody: 1MiB
ops:
  addr: [":1"]
workers:
  allowedCIDRs: [10.0.0.0/8, 10.0.0.1/8, ten]
`)
	wantMistakes(t, file, []string{
		"MUSTER_AUTH_AUDIENC=x", "MUSTER_LOG_LEVEL=loud", "MUSTER_WORKERS_PROBEINTERVAL=10", "MUSTER_LIMITS_MAXBODY=4MB",
		"MUSTER_DRAIN_TIMEOUT=0s", "MUSTER_RULES_ENABLED=perhaps",
	}, []config.FlagValue{{Name: "--http-addr", Key: "http.addr", Value: "8080"}},
		file+":2: htp is not a known name",
		file+":5: http.adr is not a known name; http.addr is the nearest one (allowed: addr)",
		file+":6: http.addr has no value",
		file+":7: limits is a section",
		file+":8: limits stands here a second time, first in line 7",
		"MUSTER_AUTH_AUDIENC: is not a known variable; MUSTER_AUTH_AUDIENCE is the nearest one",
		file+":11: ops.addr takes one value",
		`workers.allowedCIDRs [1] "10.0.0.1/8" has bits set after its length; 10.0.0.0/8 is the range; [2] "ten"`,
		`MUSTER_WORKERS_PROBEINTERVAL: workers.probeInterval "10" is not a duration`,
		`MUSTER_LIMITS_MAXBODY: limits.maxBody "4MB" is not a size`,
		`MUSTER_RULES_ENABLED: rules.enabled "perhaps" is neither true nor false`,
		`--http-addr: http.addr "8080" is not an address`,
		"(not set): auth.issuer is required",
		"(not set): auth.audience is required",
		"MUSTER_DRAIN_TIMEOUT: drain.timeout is 0s",
		`MUSTER_LOG_LEVEL: log.level "loud" is not a level (allowed: debug, info, warn or error)`,
	)
}

func TestBadValues(t *testing.T) {
	cert, key := keyPair(t)
	notPEM := write(t, "x.pem", "hello")
	for _, c := range []struct{ pair, want string }{
		{"HTTP_ADDR=", "http.addr"}, {"HTTP_ADDR=:70000", "no port from 0"}, {"HTTP_ADDR=http://x:1", "http.addr"},
		{"STORE=sqlite:x", "neither duckdb: nor postgres://"}, {"STORE=duckdb:", "names no file"}, {"STORE=postgres:///x", "names no host"},
		{"UUID=hello", "is not a uuid"}, {"UUID=00000000-0000-0000-0000-000000000000", "is not a uuid"},
		{"AUTH_ISSUER=id.example.test", "not an absolute"}, {"AUTH_ISSUER=https://u:p@x/", "holds a user name"},
		{"AUTH_ISSUER=https://x/?a=b", "has a query"}, {"AUTH_DISCOVERYURL=ftp://x", "auth.discoveryURL"},
		{"AUTH_CAFILE=/does/not/exist", "auth.caFile cannot be read"}, {"AUTH_CAFILE=" + notPEM, "holds no certificate"},
		{"AUTH_CLIENTID=x", "is set without auth.clientSecretFile"}, {"AUTH_CLIENTSECRET=x", "auth.clientID is missing"},
		{"AUTH_MAXKEYAGE=1s", "auth.maxKeyAge"}, {"AUTH_LEEWAY=2m", "auth.leeway"}, {"AUTH_LEEWAY=-1s", "auth.leeway"},
		{"TLS_CERTFILE=" + cert, "is set without tls.keyFile"}, {"TLS_KEYFILE=" + key, "is set without tls.certFile"},
		{"WORKERS_REQUIRETLS=yes", "neither true nor false"}, {"WORKERS_ALLOWEDCIDRS=::ffff:10.0.0.0/104", "IPv4 range"},
		{"WORKERS_PROBEINTERVAL=99ms", "workers.probeInterval is 99ms"},
		{"LIMITS_MAXBODY=1", "limits.maxBody is 1"}, {"LIMITS_MAXBODY=-1", "not a size"}, {"LIMITS_MAXBODY=9999999999TiB", "not a size"},
		{"LIMITS_DEFAULTTIMEOUT=2m", "longer than limits.maxTimeout with 1m"}, {"LIMITS_REQUESTS=63", "limits.requests is 63"},
		{"LIMITS_PRINCIPALSHARE=0", "limits.principalShare is 0"}, {"LIMITS_PRINCIPALSHARE=101", "limits.principalShare is 101"},
		{"LIMITS_REQUESTS=1.5", "not a whole number"}, {"FILTER_MINWORKERS=-1", "filter.minWorkers"},
		{"FILTER_UNKNOWNMEMBERS=keep", "filter.unknownMembers"}, {"DRAIN_GRACE=1h", "drain.grace"}, {"TRANSFORMATIONS_SECRETSDIR=/nowhere/at/all", "transformations.secretsDir"}, {"LOG_FORMAT=xml", "log.format"},
		{"AUDIT_KEYFILE=/does/not/exist", "audit.keyFile the key file of the audit log cannot be read"}, {"AUDIT_KEYFILE=" + notPEM, "is neither hex nor base64"},
		{"AUDIT_RETENTION=1h", "audit.retention is 1h"}, {"AUDIT_RETENTION=-24h", "audit.retention is -24h"},
		{"CONFIG_VERSION=1", "is not a known variable"}, {"CONFIG=x", "is not a known variable"},
	} {
		t.Run(c.pair, func(t *testing.T) {
			name, _, _ := strings.Cut(c.pair, "=")
			environ := []string{"MUSTER_" + c.pair}
			for _, g := range good {
				if !strings.HasPrefix(g, "MUSTER_"+name+"=") {
					environ = append(environ, g)
				}
			}
			wantMistakes(t, "", environ, nil, c.want)
		})
	}
}

func TestFilesThatAreNone(t *testing.T) {
	wantMistakes(t, "/does/not/exist.yaml", good, nil, "cannot be read")
	wantMistakes(t, t.TempDir(), good, nil, "cannot be read")
	for text, want := range map[string]string{
		"a: b: c":                      "is not YAML",
		"- a":                          "is not a mapping",
		"hello":                        "is not a mapping",
		"---\nhttp: {}\n---\ngrpc: {}": "more than one document",
		"config_version: 2":            "is 2, and this build reads up to 1",
		"config_version: 0":            "which never was a version",
		"config_version: one":          "not a whole number",
		"http: {addr: {a: b}}":         "takes a value, not a section",
	} {
		wantMistakes(t, write(t, "muster.yaml", text), good, nil, want)
	}
	for text, warns := range map[string]int{"": 1, "# nothing\n": 1, "http:\n": 1, "config_version: 1": 0, "config_version: 1\nlimits: &x {maxBody: 1KiB}": 0} {
		loaded := mustLoad(t, write(t, "muster.yaml", text), good)
		if len(loaded.Warnings) != warns {
			t.Errorf("%q: warnings %q, want %d", text, loaded.Warnings, warns)
		}
	}
}

func TestIssuers(t *testing.T) {
	list := `[{"issuer":"https://a.test/","audience":"m","mapRoles":true},
		{"issuer":"https://b.test/","audience":"m","usernamePrefix":"b:","groupsPrefix":"b:"}]`
	got := mustLoad(t, "", []string{"MUSTER_AUTH_ISSUERS=" + list}).Config.Auth.Trusted()
	if len(got) != 2 || !got[0].MapRoles || got[1].MapRoles || got[1].GroupsPrefix != "b:" {
		t.Errorf("issuers = %+v", got)
	}
	file := write(t, "muster.yaml", `config_version: 1
auth:
  issuers:
    - {issuer: "https://a.test/", audience: m}
    - issuer: https://b.test/
      audience: m
      usernamePrefix: "b:"
      groupsPrefix: "b:"
`)
	if got := mustLoad(t, file, nil).Config.Auth.Trusted(); len(got) != 2 || got[1].UsernamePrefix != "b:" {
		t.Errorf("issuers of the file = %+v", got)
	}
	wantMistakes(t, "", with("MUSTER_AUTH_ISSUERS="+list), nil, "auth.issuers is set beside auth.issuer")
	wantMistakes(t, "", []string{"MUSTER_AUTH_ISSUERS=" + list, "MUSTER_AUTH_DISCOVERYURL=http://x"}, nil, "goes with auth.issuer")
	wantMistakes(t, "", []string{`MUSTER_AUTH_ISSUERS=[{"issuer":"x"},{"issuer":"x","discoveryURL":"x"}]`}, nil,
		"[0].issuer is not an absolute", "[0].audience is missing", "[1].issuer is not an absolute", "[1].audience", "second time",
		"[1].usernamePrefix", "[1].groupsPrefix", "[1].discoveryURL")
	for _, bad := range []string{"{}", `[{"isuer":"x"}]`, "[] []", "hello"} {
		wantMistakes(t, "", []string{"MUSTER_AUTH_ISSUERS=" + bad}, nil, "auth.issuers")
	}
}

func TestSizesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := config.Size(rapid.Int64Min(0).Draw(t, "bytes"))
		got, err := config.ParseSize(want.String())
		if err != nil || got != want {
			t.Fatalf("%s -> %d, %v; want %d", want, got, err, want)
		}
	})
}

// Whatever stands in a file or a variable, Load ends in an answer.
func FuzzLoad(f *testing.F) {
	f.Add("config_version: 1\nhttp: {addr: ':1'}\n", "MUSTER_HTTP_ADDR=:1")
	f.Add("a: &a [*a]", "MUSTER_AUTH_ISSUERS=[{}]")
	f.Add("workers: {allowedCIDRs: [10.0.0.0/8]}", "MUSTER_WORKERS_ALLOWEDCIDRS=,")
	f.Fuzz(func(t *testing.T, file, pair string) {
		loaded, err := config.Load(write(t, "muster.yaml", file), with(pair), nil)
		if err == nil && loaded.Config.Limits.MaxBody < 1024 {
			t.Error("a bad value came through")
		}
	})
}
