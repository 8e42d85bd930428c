package config

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// EnvPrefix begins every environment variable of ours.
const EnvPrefix = "MUSTER_"

// Field is one configuration name.
type Field struct {
	// Key is the name in the file, such as "http.addr".
	Key string
	// Env is the variable, such as "MUSTER_HTTP_ADDR"; empty when it has none.
	Env string
	// Flag is the flag's name without dashes; empty when it has none.
	Flag string
	// Doc says what it is, Allowed what it may be, Default what it is otherwise.
	Doc, Allowed, Default string
	// Secret is set when the value must not be shown; it can then also be given
	// by the variable Env + "_FILE".
	Secret bool
	// Bool is set when the flag needs no value.
	Bool bool

	index []int
	typ   reflect.Type
}

// Type returns the Go type of the value, such as "time.Duration".
func (f Field) Type() string { return f.typ.String() }

// Fields returns every configuration name, in the order of the structs.
func Fields() []Field {
	return collect(reflect.TypeFor[Config](), reflect.ValueOf(Default()), "", nil)
}

func collect(t reflect.Type, defaults reflect.Value, prefix string, index []int) []Field {
	var all []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := prefix + sf.Tag.Get("key")
		at := append(append([]int(nil), index...), i)
		if sf.Type.Kind() == reflect.Struct {
			all = append(all, collect(sf.Type, defaults.Field(i), key+".", at)...)
			continue
		}
		f := Field{
			Key: key, Env: EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_")),
			Flag: sf.Tag.Get("flag"), Doc: sf.Tag.Get("doc"), Allowed: sf.Tag.Get("allowed"),
			Default: show(defaults.Field(i)),
			Secret:  sf.Type == reflect.TypeFor[Secret]() || sf.Type == reflect.TypeFor[StoreURL](),
			Bool:    sf.Type.Kind() == reflect.Bool,
			index:   at, typ: sf.Type,
		}
		switch env := sf.Tag.Get("env"); env {
		case "":
		case "-":
			f.Env = ""
		default:
			f.Env = env
		}
		all = append(all, f)
	}
	return all
}

// show returns a value as it would be written in a variable; secrets hidden.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return shortDuration(x)
	case []netip.Prefix:
		texts := make([]string, len(x))
		for i, p := range x {
			texts[i] = p.String()
		}
		return strings.Join(texts, ",")
	case []string:
		return strings.Join(x, ",")
	case map[string]string:
		if len(x) == 0 {
			return ""
		}
		text, err := json.Marshal(x)
		if err != nil {
			return "" // strings can always be written
		}
		return string(text)
	case []Issuer:
		names := make([]string, len(x))
		for i, is := range x {
			names[i] = is.Issuer
		}
		return strings.Join(names, ",")
	default:
		if v.IsZero() && v.Kind() == reflect.String {
			return ""
		}
		return strings.TrimSpace(toText(x))
	}
}

// shortDuration writes 24h0m0s as 24h.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
