package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

func toText(v any) string { return fmt.Sprint(v) }

// decode turns what stands in a file (text, or a list), a variable or a flag
// (text) into a value of the field's type. Its errors read on after the key and
// never quote a secret.
func decode(f Field, raw any) (reflect.Value, error) {
	switch f.typ {
	case reflect.TypeFor[[]netip.Prefix]():
		return valueOrError(prefixes(raw))
	case reflect.TypeFor[[]Issuer]():
		return valueOrError(issuers(raw))
	case reflect.TypeFor[[]string]():
		return valueOrError(words(raw))
	case reflect.TypeFor[map[string]string]():
		return valueOrError(textMap(raw))
	}
	text, ok := raw.(string)
	if !ok {
		return reflect.Value{}, errors.New("takes one value, not a list")
	}
	out, err := scalar(f, text)
	if err != nil {
		return reflect.Value{}, err
	}
	return reflect.ValueOf(out).Convert(f.typ), nil
}

func scalar(f Field, text string) (any, error) {
	switch f.typ {
	case reflect.TypeFor[Size]():
		n, err := ParseSize(text)
		return n, quoted(text, err)
	case reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a duration such as 500ms, 10s or 24h", text)
		}
		return d, nil
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return text == "true", nil
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	default:
		return text, nil
	}
}

func quoted(text string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q %w", text, err)
}

func valueOrError[T any](v T, err error) (reflect.Value, error) {
	return reflect.ValueOf(v), err
}

// prefixes reads address ranges. An empty text is an empty list: no worker may
// live anywhere.
func prefixes(raw any) ([]netip.Prefix, error) {
	var texts []string
	switch v := raw.(type) {
	case string:
		if strings.TrimSpace(v) != "" {
			texts = strings.Split(v, ",")
		}
	case []any:
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("[%d] is not an address range", i)
			}
			texts = append(texts, text)
		}
	default:
		return nil, errors.New("takes a list of address ranges")
	}
	out := make([]netip.Prefix, 0, len(texts))
	var wrong []string
	for i, text := range texts {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("[%d] %q is not an address range", i, text))
		case p.Addr().Is4In6():
			wrong = append(wrong, fmt.Sprintf("[%d] %q has to be written as an IPv4 range", i, text))
		case p != p.Masked():
			wrong = append(wrong, fmt.Sprintf("[%d] %q has bits set after its length; %s is the range", i, text, p.Masked()))
		default:
			out = append(out, p)
		}
	}
	if wrong != nil {
		return nil, errors.New(strings.Join(wrong, "; "))
	}
	return out, nil
}

// words reads a list of texts, from a variable with commas or a file's list.
func words(raw any) ([]string, error) {
	switch v := raw.(type) {
	case string:
		var out []string
		for text := range strings.SplitSeq(v, ",") {
			if text = strings.TrimSpace(text); text != "" {
				out = append(out, text)
			}
		}
		return out, nil
	case []any:
		out := make([]string, 0, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("[%d] is not a text", i)
			}
			out = append(out, text)
		}
		return out, nil
	default:
		return nil, errors.New("takes a list of texts")
	}
}

// textMap reads names with a text each from JSON: a variable's, or what the file's
// section was made into.
func textMap(raw any) (map[string]string, error) {
	if text, ok := raw.(string); ok {
		if strings.TrimSpace(text) == "" {
			return map[string]string{}, nil
		}
		out := map[string]string{}
		dec := json.NewDecoder(strings.NewReader(text))
		if err := dec.Decode(&out); err != nil {
			return nil, fmt.Errorf("is not a JSON object of texts: %w", err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("has text after the object")
		}
		return out, nil
	}
	return nil, errors.New("takes names with a text each")
}

// issuers reads the list of issuers, from a variable's JSON or a file's list.
func issuers(raw any) ([]Issuer, error) {
	text, ok := raw.(string)
	if !ok {
		b, err := json.Marshal(raw)
		if err != nil {
			return nil, errors.New("takes a list of issuers")
		}
		text = string(b)
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	var out []Issuer
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("is not a list of issuers: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has text after the list")
	}
	return out, nil
}
