package registry_test

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry"
)

func TestNormalizeURL(t *testing.T) {
	for raw, want := range map[string]string{
		"http://host":                         "http://host/",
		"HTTP://Host.:80":                     "http://host/",
		"https://host:443/":                   "https://host/",
		"https://host:80/":                    "https://host:80/",
		"http://host:08080/a":                 "http://host:8080/a",
		"grpc://host:9000":                    "grpc://host:9000/",
		"grpcs://host":                        "grpcs://host/",
		"http://h/a/./b/../c":                 "http://h/a/c",
		"http://h/a/b/..":                     "http://h/a/",
		"http://h/../../x":                    "http://h/x",
		"http://h/a//b/":                      "http://h/a//b/",
		"http://h/%7efoo/%2f%c3%a4":           "http://h/~foo/%2F%C3%A4",
		"http://h/%2e%2e/x":                   "http://h/x",
		"http://h/x?b=%7e&a=2":                "http://h/x?b=~&a=2",
		"http://h/x?":                         "http://h/x?",
		"http://[2001:DB8::0:1]:80/":          "http://[2001:db8::1]/",
		"http://[::ffff:10.0.0.1]:90/x":       "http://[::ffff:10.0.0.1]:90/x",
		"http://xn--mnchen-3ya.example/x":     "http://xn--mnchen-3ya.example/x",
		"http://my_service.default.svc:1/A/b": "http://my_service.default.svc:1/A/b",
	} {
		got, err := registry.NormalizeURL(raw)
		if err != nil || got != want {
			t.Errorf("%s: %q %v, not %q", raw, got, err, want)
		}
	}
}

func TestURLsThatNoWorkerMayHave(t *testing.T) {
	for raw, says := range map[string]string{
		"":                                      "missing",
		"host:8080":                             "absolute",
		"/filter":                               "absolute",
		"//host/x":                              "absolute",
		"ftp://host/":                           "absolute",
		"http:opaque":                           "absolute",
		"file:///etc/passwd":                    "absolute",
		"http://":                               "no host",
		"http:///x":                             "no host",
		"http://user@host/":                     "before @",
		"http://user:secret@host/":              "before @",
		"http://host/#":                         "fragment",
		"http://host/x#frag":                    "fragment",
		"http://host:/":                         "colon",
		"http://host:0/":                        "port",
		"http://host:65536/":                    "port",
		"http://host:x/":                        "read as a url",
		"grpc://host":                           "no port",
		"http://ho st/":                         "white space",
		"http://host/a b":                       "white space",
		"http://host\\@evil/":                   "backslash",
		"http://host/\n":                        "white space",
		"http://münchen/":                       "ASCII",
		"http://ho!st/":                         "character",
		"http://.":                              "host",
		"http://host/%zz":                       "read as a url",
		"http://[::1/":                          "read as a url",
		"http://h/" + strings.Repeat("x", 2048): "bytes long",
	} {
		got, err := registry.NormalizeURL(raw)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q %v", raw, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", raw, err)
		}
	}
	_, err := registry.NormalizeURL("http://user:secret@[::1/")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func FuzzNormalizeURL(f *testing.F) {
	for _, seed := range []string{
		"http://host:80/a/../b?x=%41#f", "HTTPS://[::1]:8443/%2F", "grpc://h:1", "http://u:p@h/", "http://h/%2e%2E//./x/", "http://h?%", "//", ":",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		key, err := registry.NormalizeURL(raw)
		if err != nil {
			if key != "" {
				t.Errorf("%q with %v", key, err)
			}
			return
		}
		again, err := registry.NormalizeURL(key)
		if err != nil || again != key {
			t.Errorf("%q gives %q, which gives %q %v", raw, key, again, err)
		}
		a, errA := url.Parse(raw)
		b, errB := url.Parse(key)
		if errA != nil || errB != nil || !strings.EqualFold(a.Scheme, b.Scheme) || a.RawQuery == "" != (b.RawQuery == "") {
			t.Errorf("%q and %q are not the same: %v %v", raw, key, errA, errB)
		}
	})
}

// Spelling a url in another way never makes it another url.
func TestSpellingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-z]{1,8}(\.[a-z]{1,8})?`).Draw(t, "host")
		path := rapid.StringMatching(`(/[a-zA-Z0-9._~-]{1,5}){0,3}`).Draw(t, "path")
		if strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") {
			t.Skip("dot segments are spelling themselves")
		}
		plain, err := registry.NormalizeURL("http://" + host + path)
		if err != nil {
			t.Fatal(err)
		}
		other := "HTTP://" + strings.ToUpper(host)
		if rapid.Bool().Draw(t, "dot") {
			other += "."
		}
		if rapid.Bool().Draw(t, "port") {
			other += ":80"
		}
		if rapid.Bool().Draw(t, "segment") {
			other += "/detour/.."
		}
		for _, c := range []byte(path) {
			if c != '/' && rapid.Bool().Draw(t, "escape") {
				const hex = "0123456789abcdef"
				other += "%" + string(hex[c>>4]) + string(hex[c&15])
			} else {
				other += string(c)
			}
		}
		if got, err := registry.NormalizeURL(other); err != nil || got != plain {
			t.Errorf("%s gives %q %v, not %q", other, got, err, plain)
		}
	})
}
