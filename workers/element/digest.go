package element

import (
	"crypto/sha256"
	"encoding/binary"
)

// IDsDigest returns the digest of a gRPC worker's header: SHA-256 over every
// element's id in order, decoded, each preceded by its length in bytes as a
// big-endian 32-bit number.
func (b *Batch) IDsDigest() [sha256.Size]byte {
	h := sha256.New()
	buf := make([]byte, 0, 4<<10)
	for i := range b.recs {
		id := b.ID(i)
		if len(buf)+4+len(id) > cap(buf) {
			h.Write(buf) // a hash never fails
			buf = buf[:0]
		}
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(id)))
		buf = append(buf, id...)
	}
	h.Write(buf) // a hash never fails
	return [sha256.Size]byte(h.Sum(nil))
}
