//go:build !linux

package access

func newWords(n int) (words []uint64, free func()) { return make([]uint64, n), nil }
