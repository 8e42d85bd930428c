package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes; in text, a plain number or one with KiB, MiB, GiB
// or TiB behind it.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

var errSize = errors.New("is not a size")

// ParseSize reads a size such as 4194304, 4MiB or 1.5GiB. Decimal units (MB)
// are refused, as they are read both ways.
func ParseSize(text string) (Size, error) {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/factor {
			return 0, errSize
		}
		return Size(n * factor), nil
	}
	if factor == 1 || strings.ContainsAny(number, "eEpPxX_") {
		return 0, errSize
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || n*float64(factor) >= math.MaxInt64 {
		return 0, errSize
	}
	return Size(n * float64(factor)), nil
}

// String returns the shortest exact form.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 && u.bytes > 1 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText makes JSON and YAML show String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
