package keycloak

// Waiting returns how many callers wait for exchanges.
func (e *Exchanger) Waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, f := range e.flights {
		n += f.waiters
	}
	return n
}
