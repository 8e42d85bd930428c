package access

import (
	"syscall"
	"unsafe"
)

// hugePage is the size in bytes of the pages that are asked for.
const hugePage = 2 << 20

// newWords is memory for so many words, and what gives it back when nobody uses it
// any more; nil when the collector does. Much of it is asked of the system in large
// pages, so that few addresses have to be translated: memory that the collector has
// used before lies in small ones. A system that has no large ones gives others.
func newWords(n int) (words []uint64, free func()) {
	if n*8 < 2*hugePage {
		return make([]uint64, n), nil
	}
	all, err := syscall.Mmap(-1, 0, n*8+hugePage, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]uint64, n), nil
	}
	_ = syscall.Madvise(all, syscall.MADV_HUGEPAGE)                // a wish
	skip := -uintptr(unsafe.Pointer(&all[0])) & (hugePage - 1)     //nolint:gosec // only compared
	words = unsafe.Slice((*uint64)(unsafe.Pointer(&all[skip])), n) //nolint:gosec // aligned to pages
	return words, func() { _ = syscall.Munmap(all) }               // what was mapped as it was
}
