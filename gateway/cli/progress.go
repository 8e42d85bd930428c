package cli

import (
	"fmt"
	"time"
)

// progressAfter is how long work takes before it is worth a word.
const progressAfter = time.Second

// progress shows on a terminal that long work goes on, until stop is called.
// Nothing is shown elsewhere, or of work that is done at once.
func (s *shell) progress(what string) (stop func()) {
	if !s.Terminal {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressAfter)
		defer tick.Stop()
		for shown := false; ; shown = true {
			select {
			case <-end:
				if shown {
					_, _ = fmt.Fprint(s.Err, "\r\x1b[K") // as below
				}
				return
			case <-tick.C:
			}
			// Carriage return and "erase to the end of the line": the line is
			// written over until the work is done. A terminal that is gone has
			// nobody to tell.
			_, _ = fmt.Fprintf(s.Err, "\r\x1b[K%s … %s", clean(what), time.Since(begin).Round(time.Second))
		}
	}()
	return func() { close(end); <-ended }
}
