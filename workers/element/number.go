package element

import "bytes"

// decimal is a JSON number in the one form in which equal numbers look alike:
// 0.DIGITS x 10^exp, the digits without zeros at either end. The digits are two
// slices of the token, never expanded: 1e999999999 is one digit.
type decimal struct {
	negative  bool
	whole     []byte // digits before the point, leading zeros removed
	fraction  []byte // digits after it, trailing zeros removed
	shift     int64  // what the position of the point adds to the exponent
	exponent  []byte // digits of the written exponent, leading zeros removed
	expMinus  bool
	zeroValue bool
}

// parseDecimal splits a number token, which must be valid.
func parseDecimal(token []byte) decimal {
	var d decimal
	if token[0] == '-' {
		d.negative = true
		token = token[1:]
	}
	if e := bytes.IndexAny(token, "eE"); e >= 0 {
		exp := token[e+1:]
		if exp[0] == '-' || exp[0] == '+' {
			d.expMinus = exp[0] == '-'
			exp = exp[1:]
		}
		d.exponent = bytes.TrimLeft(exp, "0")
		token = token[:e]
	}
	d.whole = token
	if point := bytes.IndexByte(token, '.'); point >= 0 {
		d.whole, d.fraction = token[:point], bytes.TrimRight(token[point+1:], "0")
	}
	d.whole = bytes.TrimLeft(d.whole, "0")
	d.shift = int64(len(d.whole))
	if len(d.fraction) == 0 {
		d.whole = bytes.TrimRight(d.whole, "0")
	}
	if len(d.whole) == 0 {
		trimmed := bytes.TrimLeft(d.fraction, "0")
		d.shift = -int64(len(d.fraction) - len(trimmed))
		d.fraction = trimmed
	}
	d.zeroValue = len(d.whole) == 0 && len(d.fraction) == 0
	return d
}

// digit returns the n-th digit.
func (d *decimal) digit(n int) byte {
	if n < len(d.whole) {
		return d.whole[n]
	}
	return d.fraction[n-len(d.whole)]
}

func (d *decimal) digits() int { return len(d.whole) + len(d.fraction) }

// equalNumbers compares two valid number tokens as exact decimals.
func equalNumbers(a, b []byte) bool {
	x, y := parseDecimal(a), parseDecimal(b)
	if x.zeroValue || y.zeroValue {
		return x.zeroValue && y.zeroValue // -0 is 0
	}
	if x.negative != y.negative || x.digits() != y.digits() {
		return false
	}
	for n := range x.digits() {
		if x.digit(n) != y.digit(n) {
			return false
		}
	}
	return equalExponents(&x, &y)
}

// maxSmallExponent is how many digits of an exponent fit into an int64 with
// room for the shift.
const maxSmallExponent = 17

func equalExponents(x, y *decimal) bool {
	if len(x.exponent) <= maxSmallExponent && len(y.exponent) <= maxSmallExponent {
		return x.smallExponent()+x.shift == y.smallExponent()+y.shift
	}
	if len(x.exponent) == 0 || len(y.exponent) == 0 || x.expMinus != y.expMinus {
		return false // the shifts are far too small to make up for it
	}
	// Same sign: |ex| + s*shiftx = |ey| + s*shifty, so the magnitudes differ by a
	// small number; add it to one of them digit by digit.
	difference := y.shift - x.shift // ex - ey
	if x.expMinus {
		difference = -difference
	}
	if difference < 0 {
		return sumEquals(x.exponent, -difference, y.exponent)
	}
	return sumEquals(y.exponent, difference, x.exponent)
}

func (d *decimal) smallExponent() int64 {
	var v int64
	for _, c := range d.exponent {
		v = v*10 + int64(c-'0')
	}
	if d.expMinus {
		return -v
	}
	return v
}

// sumEquals reports whether a + n = sum, a and sum being decimal digits without
// leading zeros and n not negative. It looks at each digit once.
func sumEquals(a []byte, n int64, sum []byte) bool {
	i, j := len(a)-1, len(sum)-1
	for ; j >= 0; j-- {
		if i >= 0 {
			n += int64(a[i] - '0')
			i--
		}
		if n%10 != int64(sum[j]-'0') {
			return false
		}
		n /= 10
	}
	return n == 0 && i < 0
}
