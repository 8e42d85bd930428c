package ruleloader

import (
	"math"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetText says how values of a type are spelled, or returns nil for a type
// whose spelling would be a guess: dates, times, decimals, raw bytes of 96 bits or
// of fixed length. Numbers are spelled as in JSON.
func parquetText(t parquet.Type) func(parquet.Value) string {
	annotated := t.LogicalType() != nil && t.LogicalType().Value != nil
	switch t.Kind() {
	case parquet.Boolean:
		return func(v parquet.Value) string { return strconv.FormatBool(v.Boolean()) }
	case parquet.Int32, parquet.Int64:
		if !annotated {
			return signedText(t.Kind())
		}
		if n, ok := t.LogicalType().Value.(*format.IntType); ok {
			if n.IsSigned {
				return signedText(t.Kind())
			}
			return unsignedText(t.Kind())
		}
	case parquet.Float:
		return func(v parquet.Value) string { return floatText(float64(v.Float()), 32) }
	case parquet.Double:
		return func(v parquet.Value) string { return floatText(v.Double(), 64) }
	case parquet.ByteArray:
		if !annotated {
			return bytesText
		}
		switch t.LogicalType().Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return bytesText
		}
	default:
	}
	return nil
}

// bytesText replaces what is no UTF-8, which then matches nothing.
func bytesText(v parquet.Value) string { return strings.ToValidUTF8(string(v.ByteArray()), "\uFFFD") }

func signedText(k parquet.Kind) func(parquet.Value) string {
	if k == parquet.Int32 {
		return func(v parquet.Value) string { return strconv.FormatInt(int64(v.Int32()), 10) }
	}
	return func(v parquet.Value) string { return strconv.FormatInt(v.Int64(), 10) }
}

func unsignedText(k parquet.Kind) func(parquet.Value) string {
	if k == parquet.Int32 {
		return func(v parquet.Value) string { return strconv.FormatUint(uint64(v.Uint32()), 10) }
	}
	return func(v parquet.Value) string { return strconv.FormatUint(v.Uint64(), 10) }
}

// floatText is the shortest text that reads back as the same number, in the form
// that ECMAScript and encoding/json give it.
func floatText(f float64, bits int) string {
	const small, large = 1e-6, 1e21
	form := byte('f')
	if a := math.Abs(f); a != 0 && (a < small || a >= large) {
		form = 'e'
	}
	text := strconv.FormatFloat(f, form, -1, bits)
	// e-09 is e-9.
	if n := len(text); form == 'e' && n > 4 && text[n-4] == 'e' && text[n-2] == '0' {
		text = text[:n-2] + text[n-1:]
	}
	return text
}
