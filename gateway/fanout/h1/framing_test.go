package h1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/fanout/h1"
)

// answers are replies of a peer, with what must come of them: a status and a
// body, or an error of a type.
var answers = []struct {
	name, reply string
	status      int
	body        string
	err         any
	keep        bool
}{
	{"sized", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", nil, true},
	{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", nil, true},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n", 200, "abc0123456789", nil, true},
	{"until close", "HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc", nil, false},
	{"http/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", nil, false},
	{"closing", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", nil, false},
	{"surplus bytes", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", 200, "abc", nil, false},
	{"two answers", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, "abc", nil, false},
	{"an answer behind no content", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 204, "", nil, false},
	{"surplus behind chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\r\n", 200, "abc", nil, false},
	{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", nil, true},
	{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz", 200, "z", nil, true},
	{"redirect is only a status", "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 302, "", nil, true},

	{"switching", "HTTP/1.1 101 Switching\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"interim for ever", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), 0, "", new(*h1.FramingError), false},
	{"garbage", "220 smtp ready\r\n", 0, "", new(*h1.FramingError), false},
	{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", 0, "", new(*h1.FramingError), false},
	{"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, "", new(*h1.FramingError), false},
	{"length list", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", 0, "", new(*h1.FramingError), false},
	{"signed length", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", 0, "", new(*h1.FramingError), false},
	{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 0, "", new(*h1.FramingError), false},
	{"gzip transfer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"chunked 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc", 0, "", new(*h1.FramingError), false},
	{"folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"nul", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"carriage return", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"big head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 70<<10), 0, "", new(*h1.FramingError), false},
	{"many fields", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", 1001) + "\r\n", 0, "", new(*h1.FramingError), false},
	{"status 999", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 0, "", new(*h1.FramingError), false},
	{"bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 200, "", new(*h1.FramingError), false},
	{"huge chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 200, "", new(*h1.FramingError), false},
	{"chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 200, "a", new(*h1.FramingError), false},
	{"endless chunk line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 9000), 200, "", new(*h1.FramingError), false},
	{"endless trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 2000), 200, "", new(*h1.FramingError), false},
	{"short body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 200, "abc", new(*h1.LostError), false},
	{"short chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 200, "abc", new(*h1.LostError), false},
	{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, "abc", new(*h1.LostError), false},
	{"no end of trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 200, "abc", new(*h1.LostError), false},
	{"half a head", "HTTP/1.1 200 OK\r\nConte", 0, "", new(*h1.LostError), false},
	{"nothing", "", 0, "", new(*h1.LostError), false},
}

func TestAnswers(t *testing.T) {
	for _, a := range answers {
		for _, pace := range []int{0, 1, 7} {
			written := make(chan struct{})
			addr := raw(t, func(_ int, c net.Conn) {
				if take(c) == nil {
					drip(c, []byte(a.reply), pace)
				}
				close(written)
				// Whoever does not need the end of the connection for the answer's end
				// never gets it: what is not kept, the client has closed itself.
				if a.err == nil && a.name != "until close" {
					io.Copy(io.Discard, c)
				}
			})
			c := client(t, addr)
			status, body, err := post(within(t, 10*time.Second), c, "x")
			if status != a.status || body != a.body {
				t.Errorf("%s/%d: %d %q (%v)", a.name, pace, status, body, err)
			}
			if a.err == nil && err != nil || a.err != nil && !errors.As(err, a.err) {
				t.Errorf("%s/%d: %v", a.name, pace, err)
			}
			var lost *h1.LostError
			if errors.As(err, &lost) && lost.Answered != (a.reply != "") {
				t.Errorf("%s/%d: answered is %v", a.name, pace, lost.Answered)
			}
			if !a.keep && err == nil {
				// Bytes that come later than the answer's end are there by now, and
				// are found before the next use, which Prune stands for.
				<-written
				c.Prune()
			}
			if kept := c.Idle() == 1; kept != a.keep {
				t.Errorf("%s/%d: kept is %v", a.name, pace, kept)
			}
			c.Close()
		}
	}
}

// drip writes in pieces, so that every boundary falls between two reads once.
func drip(w io.Writer, b []byte, pace int) {
	if pace == 0 || len(b) > 500 {
		w.Write(b)
		return
	}
	for len(b) > 0 {
		n := min(pace, len(b))
		w.Write(b[:n])
		b = b[n:]
	}
}

// pipeConn hands out fixed bytes and swallows what is written.
type pipeConn struct {
	net.Conn
	r io.Reader
}

func (p *pipeConn) Read(b []byte) (int, error)     { return p.r.Read(b) }
func (*pipeConn) Write(b []byte) (int, error)      { return len(b), nil }
func (*pipeConn) Close() error                     { return nil }
func (*pipeConn) SetDeadline(time.Time) error      { return nil }
func (*pipeConn) SetWriteDeadline(time.Time) error { return nil }
func (*pipeConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

func exchange(reply []byte) (status int, body []byte, err error) {
	c, err := h1.New(h1.Config{
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return &pipeConn{r: bytes.NewReader(reply)}, nil
		},
		MaxIdle: 1, IdleTimeout: time.Hour, MaxAge: time.Hour,
	})
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.Do(context.Background(), &h1.Request{})
	if err != nil {
		return 0, nil, err
	}
	status = resp.Status
	body, err = io.ReadAll(resp)
	resp.Close()
	return status, body, err
}

// FuzzAnswer holds the reader against net/http's: whatever it accepts, that
// accepts too, with the same status and body.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers {
		if len(a.reply) < 4000 {
			f.Add([]byte(a.reply))
		}
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		status, body, err := exchange(reply)
		if err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(reply))
		req := &http.Request{Method: http.MethodPost}
		for {
			resp, err := http.ReadResponse(br, req)
			if err != nil {
				t.Fatalf("accepted as %d with %q; net/http refuses: %v", status, body, err)
			}
			if resp.StatusCode < 200 {
				continue
			}
			want, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != status || !bytes.Equal(want, body) {
				t.Fatalf("read as %d %q; net/http reads %d %q %v", status, body, resp.StatusCode, want, err)
			}
			return
		}
	})
}

func BenchmarkSmallExchange(b *testing.B) {
	addr := raw(b, func(_ int, c net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"); err != nil {
				return
			}
		}
	})
	body := [][]byte{bytes.Repeat([]byte("x"), 600)}
	b.Run("h1", func(b *testing.B) {
		c := client(b, addr)
		buf := make([]byte, 512)
		b.ReportAllocs()
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		for b.Loop() {
			resp, err := c.Do(ctx, &h1.Request{Body: body, Size: 600})
			if err != nil {
				b.Fatal(err)
			}
			for err == nil {
				_, err = resp.Read(buf)
			}
			resp.Close()
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		tr := &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true}
		defer tr.CloseIdleConnections()
		b.ReportAllocs()
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		for b.Loop() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/filter", bytes.NewReader(body[0]))
			if err != nil {
				b.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}
