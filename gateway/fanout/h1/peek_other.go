//go:build !unix

package h1

// readable is not known on this system; a dead connection is found on use, and
// bodies are written in the background.
func (cn *conn) readable() bool { return false }
