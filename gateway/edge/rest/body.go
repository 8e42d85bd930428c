package rest

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// MaxBody bounds the bodies of calls that need no more, in bytes.
const MaxBody = 1 << 20

// The media types of bodies.
const (
	MediaJSON       = "application/json"
	MediaMergePatch = "application/merge-patch+json"
	mediaProblem    = "application/problem+json"
)

// ReadBody reads a request's JSON body of at most limit bytes. Its errors are
// *fault.Error: unsupported_media_type, too_large, invalid_request.
func (a *API) ReadBody(w http.ResponseWriter, r *http.Request, limit int64, mediaTypes ...string) ([]byte, error) {
	if err := checkMedia(r, mediaTypes); err != nil {
		return nil, err
	}
	deadline := a.BodyDeadline
	if deadline <= 0 {
		deadline = DefaultBodyDeadline
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "too_large", "the body is longer than %d bytes", large.Limit)
	case err != nil:
		return nil, fault.New(fault.Invalid, CodeInvalidRequest, "the body broke off, or did not come in within %s", deadline).Wrap(err)
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body, nil
}

func checkMedia(r *http.Request, mediaTypes []string) error {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return fault.New(fault.Unsupported, "unsupported_media_type", "send the body without Content-Encoding")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := params["charset"]
	if err != nil || !slices.Contains(mediaTypes, media) || named && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.Unsupported, "unsupported_media_type", "send Content-Type %s, in UTF-8", strings.Join(mediaTypes, " or "))
	}
	return nil
}

// WriteJSON answers a request. Its error, if any, is that v cannot be written as
// JSON; nothing has been sent then.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	return write(w, status, MediaJSON, v)
}

// write is WriteJSON with a media type. Once the status is out, a failed write
// only means that the caller went away.
func write(w http.ResponseWriter, status int, media string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// WriteRecord answers with a record, whose revision is also the ETag.
func WriteRecord(w http.ResponseWriter, status int, revision int64, v any) error {
	w.Header().Set("ETag", `"`+strconv.FormatInt(revision, 10)+`"`)
	return WriteJSON(w, status, v)
}

// IfMatch returns what If-Match asks for: empty when it is not there, and
// something that no revision is when it is there without a value. Several lines
// of the header are one list (RFC 9110, section 5.3).
func IfMatch(r *http.Request) string {
	values := r.Header.Values("If-Match")
	if len(values) == 0 {
		return ""
	}
	return cmp.Or(strings.Trim(strings.Join(values, ", "), " \t"), "none")
}
