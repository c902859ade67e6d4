package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
)

const (
	partialSuffix = ".partial"
	stateSuffix   = ".partial.json"
	copyBuffer    = 256 << 10
)

// download is the transfer of one part into its .partial file.
type download struct {
	*pull
	part   *part
	path   string // of the .partial file, in the store
	state  partialState
	file   *os.File
	hash   hash.Hash // of the first offset bytes
	offset int64
	head   []byte // the first bytes that came, until the magic is checked
	judged bool   // the model's head was read and found good, or is too long to
	look   int64  // how many bytes shall be there at the next look at the head
	// What only answers about one version of the file told, and is forgotten with that version.
	guessedSize, guessedTotal bool
}

// partialState stands beside a .partial file and says what it is a part of.
type partialState struct {
	URL       string `json:"url"` // without its query
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256,omitempty"`
	Version   string `json:"version,omitempty"`
	Validator string `json:"validator,omitempty"` // for If-Range: a strong ETag, or a date
}

// errDiscard makes the next try begin at the first byte.
var errDiscard = errors.New("server has another version of the file")

// run brings the part to its full size and checks its hash. What is there when it fails stays for the next run, except
// bytes that turned out to be wrong.
func (d *download) run(ctx context.Context) (File, error) {
	if err := d.open(ctx); err != nil {
		return File{}, err
	}
	err := d.transfer(ctx)
	if err == nil {
		err = d.file.Sync()
	}
	sum := hex.EncodeToString(d.hash.Sum(nil))
	if whole := d.part.sha256 == "" || sum == d.part.sha256; err == nil && whole {
		err = d.judge()
	}
	err = errors.Join(err, d.file.Close())
	var useless *uselessError
	if errors.As(err, &useless) {
		d.drop()
		return File{}, err
	}
	if err != nil {
		if d.offset > 0 && (ctx.Err() != nil || isTransferError(err)) {
			return File{}, hinted("the same command goes on from "+d.standing()+", which are kept", "%w", err)
		}
		if d.offset == 0 { // nothing to go on from
			d.drop()
		}
		return File{}, err
	}
	if d.part.sha256 != "" && sum != d.part.sha256 {
		d.drop()
		return File{}, hinted("try again; if it stays so, the file was changed or damaged at its source",
			"%s has sha256 %s, want %s: discarded", d.part.name, sum, d.part.sha256)
	}
	return File{Name: d.part.name, Size: d.offset, SHA256: sum, Version: d.part.version}, nil
}

// drop removes what there is of the part; what cannot be removed is found out by the next run.
func (d *download) drop() {
	d.root.Remove(d.path)
	d.root.Remove(d.statePath())
}

// standing says how far the part came.
func (d *download) standing() string {
	if d.part.size < 0 {
		return bytesText(d.offset) + " of " + d.part.name
	}
	return fmt.Sprintf("%s of %s of %s", bytesText(d.offset), bytesText(d.part.size), d.part.name)
}

// isTransferError reports whether what came before the error is worth keeping.
func isTransferError(err error) bool {
	var write *writeError
	var status *statusError
	return errors.As(err, &write) || errors.As(err, &status) || transient(err)
}

// open opens the .partial file. What an earlier run left is hashed again where it belongs to the same file, else dropped.
func (d *download) open(ctx context.Context) error {
	if err := d.readState(); err != nil {
		if err := d.root.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.state = partialState{}
	}
	f, err := d.root.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open partial file: %w", err)
	}
	d.file, d.hash = f, sha256.New()
	d.at.Phase = PhaseVerify
	_, err = copyTo(ctx, d.hash, f, d.advance)
	if err == nil && d.part.size >= 0 && d.offset > d.part.size {
		err = d.restart()
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("read partial file: %w", err)
	}
	return nil
}

// readState reads the state and fails where it is not of the part that is wanted now.
func (d *download) readState() error {
	data, err := readRegular(d.root, d.statePath(), 64<<10)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &d.state); err != nil {
		return err
	}
	if info, err := d.root.Lstat(d.path); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("no partial file %s", d.path)
	}
	st, want := d.state, d.part
	switch {
	case st.SHA256 != "" && st.SHA256 == want.sha256: // the same content, wherever it comes from
	case st.SHA256 != want.sha256 || st.Version != want.version || st.URL != sourceURL(want.url):
		return errDiscard
	}
	if want.size < 0 && st.Size >= 0 {
		d.sized(st.Size)
	}
	if st.Size != want.size {
		return errDiscard
	}
	return nil
}

// sized takes over a size that the source did not tell beforehand.
func (d *download) sized(n int64) {
	d.part.size, d.guessedSize = n, true
	if d.at.Total < 0 {
		d.at.Total, d.guessedTotal = d.before+n, true // of several files at least so much
	}
}

func (d *download) statePath() string { return strings.TrimSuffix(d.path, partialSuffix) + stateSuffix }

// advance counts bytes that are in the file and in the hash.
func (d *download) advance(n int64) {
	d.offset += n
	d.at.Done = d.before + d.offset
	d.report()
}

// restart empties the file.
func (d *download) restart() error {
	d.hash.Reset()
	d.head, d.judged, d.look = nil, false, 0
	if d.guessedSize {
		d.part.size, d.guessedSize = -1, false
	}
	if d.guessedTotal {
		d.at.Total, d.guessedTotal = -1, false
	}
	d.advance(-d.offset)
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// transfer brings the bytes from d.offset on, over as many connections as it takes.
func (d *download) transfer(ctx context.Context) error {
	return d.client.retry(ctx, func() (int64, error) {
		if d.offset == d.part.size {
			return 0, nil
		}
		start := d.offset
		err := d.attempt(ctx)
		if errors.Is(err, errDiscard) {
			if err := d.restart(); err != nil {
				return 0, err
			}
			start = 0
			err = d.attempt(ctx)
		}
		return d.offset - start, err
	})
}

// attempt is one connection: it asks for the rest, or for all where nothing could tie the rest to what is here.
func (d *download) attempt(ctx context.Context) error {
	d.at.Phase = PhaseDownload
	header := http.Header{}
	if d.offset > 0 {
		if d.state.Validator == "" && d.part.sha256 == "" {
			return errDiscard
		}
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
		if d.state.Validator != "" {
			header.Set("If-Range", d.state.Validator)
		}
	}
	r, err := d.client.do(ctx, http.MethodGet, d.part.url, header, false)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusRequestedRangeNotSatisfiable && d.offset > 0 {
		return errDiscard
	}
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := d.begin(r); err != nil {
		return err
	}
	n, err := io.CopyBuffer(d, r.Body, make([]byte, copyBuffer))
	if err != nil {
		return err
	}
	if d.part.size >= 0 && d.offset != d.part.size {
		return &netError{fmt.Errorf("body of %d bytes ends at %d of %d", n, d.offset, d.part.size)}
	}
	d.part.size = d.offset
	return nil
}

var contentRange = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`)

// begin judges an answer's header against what is wanted, and writes down what the bytes to come belong to.
func (d *download) begin(r *reply) error {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return fmt.Errorf("%s sends the file in encoding %q", r.Request.URL.Host, enc)
	}
	total := r.ContentLength
	switch r.StatusCode {
	case http.StatusOK:
		if d.offset > 0 {
			d.client.note("server begins at the first byte again")
			if err := d.restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		m := contentRange.FindStringSubmatch(r.Header.Get("Content-Range"))
		if m == nil || d.offset == 0 {
			return fmt.Errorf("%s: unexpected Content-Range %q", r.Request.URL.Host, r.Header.Get("Content-Range"))
		}
		from, _ := strconv.ParseInt(m[1], 10, 64)
		if from != d.offset || d.changed(r.Header) {
			return errDiscard
		}
		total = -1
		if m[3] != "*" {
			total, _ = strconv.ParseInt(m[3], 10, 64)
		}
	default:
		return &statusError{code: r.StatusCode, host: r.Request.URL.Host, path: r.Request.URL.Path}
	}
	return d.accept(r, total)
}

// changed reports whether an answer is surely of another version than the bytes that are here. A server should have seen so
// itself, by If-Range; some pass that over.
func (d *download) changed(h http.Header) bool {
	now := strongTag(h)
	if !strings.HasPrefix(d.state.Validator, `"`) {
		now = h.Get("Last-Modified")
	}
	return now != "" && d.state.Validator != "" && now != d.state.Validator
}

// accept takes over what an answer says of the whole file, where it agrees with what is known.
func (d *download) accept(r *reply, total int64) error {
	if r.linkedSHA != "" {
		if d.part.sha256 != "" && d.part.sha256 != r.linkedSHA {
			return fmt.Errorf("%s offers sha256 %s, want %s", r.Request.URL.Host, r.linkedSHA, d.part.sha256)
		}
		d.part.sha256 = r.linkedSHA
	}
	if total >= 0 && d.part.size >= 0 && total != d.part.size {
		if d.offset > 0 {
			return errDiscard
		}
		return fmt.Errorf("%s has %d bytes at %s, want %d", d.part.name, total, r.Request.URL.Host, d.part.size)
	}
	if total >= 0 && d.part.size < 0 {
		d.sized(total)
		if err := d.checkFree(total - d.offset); err != nil {
			return err
		}
	}
	d.state = partialState{URL: sourceURL(d.part.url), Size: d.part.size, SHA256: d.part.sha256,
		Version: d.part.version, Validator: validator(r.Header)}
	data, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	if err := d.root.WriteFile(d.statePath()+".new", data, 0o644); err != nil {
		return &writeError{err}
	}
	return d.root.Rename(d.statePath()+".new", d.statePath())
}

// strongTag is an ETag that stands for equal bytes, or empty.
func strongTag(h http.Header) string {
	if etag := h.Get("ETag"); strings.HasPrefix(etag, `"`) {
		return etag
	}
	return ""
}

// validator is what If-Range may carry to tie a rest to these bytes, or empty.
func validator(h http.Header) string {
	if etag := strongTag(h); etag != "" {
		return etag
	}
	return h.Get("Last-Modified")
}

// writeError is a failure of our own disk: no server can help.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// Write appends to the file, the hash and the count together, so that they agree whenever it fails.
func (d *download) Write(b []byte) (int, error) {
	if d.part.size >= 0 && int64(len(b)) > d.part.size-d.offset {
		return 0, fmt.Errorf("%s is longer than the %d bytes that were announced", d.part.name, d.part.size)
	}
	if err := d.checkMagic(b); err != nil {
		return 0, err
	}
	n, err := d.file.Write(b)
	d.hash.Write(b[:n])
	d.advance(int64(n))
	if err != nil {
		return n, &writeError{err}
	}
	if d.offset >= max(d.look, leastHead) {
		err = d.judge()
	}
	return n, err
}

// uselessError is about a file that will not be a model that runs, however it goes on.
type uselessError struct{ err error }

func (e *uselessError) Error() string { return "not a usable model: " + e.err.Error() }
func (e *uselessError) Unwrap() error { return e.err }

// judge looks at the head of a model, as far as it is here, and ends the transfer of one that cannot be run.
func (d *download) judge() error {
	if d.judged || d.part.of == 0 {
		return nil
	}
	head := make([]byte, min(d.offset, mostHead))
	if _, err := d.file.ReadAt(head, 0); err != nil {
		return &writeError{err}
	}
	known, err := judgeHead(d.part.name, head, d.part.size, d.part.of)
	if err != nil {
		return &uselessError{err}
	}
	d.judged, d.look = known || d.offset >= mostHead, 4*d.offset
	return nil
}

// checkMagic refuses a page of a web site before gigabytes of it are kept.
func (d *download) checkMagic(b []byte) error {
	if len(d.head) >= len(ggufMagic) || d.offset > int64(len(d.head)) || !strings.HasSuffix(d.part.name, ".gguf") {
		return nil
	}
	d.head = append(d.head, b[:min(len(b), len(ggufMagic)-len(d.head))]...)
	if !strings.HasPrefix(ggufMagic, string(d.head)) {
		return hinted("the address may be that of a page about the file", "not a GGUF file: it begins with %q", d.head)
	}
	return nil
}

// copyTo copies src to dst and counts. It ends early when ctx does.
func copyTo(ctx context.Context, dst io.Writer, src io.Reader, count func(n int64)) (int64, error) {
	buf, total := make([]byte, copyBuffer), int64(0)
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return total, &writeError{err}
			}
			total += int64(n)
			count(int64(n))
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
