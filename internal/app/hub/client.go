package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// client asks registries. It follows redirects itself, because credentials, schemes and the hub's own headers need care
// at every hop.
type client struct {
	http  *http.Client
	hub   *url.URL // the one origin that may see the token
	token string
	// offline is why no request is made, or nil.
	offline error
	stall   time.Duration // the longest silence

	tries   int
	backoff time.Duration // before the second try; doubles from there
	note    func(string)  // tells of a wait
}

const (
	maxRedirects  = 10
	maxBackoff    = 30 * time.Second
	maxRetryAfter = 5 * time.Minute
	aliveBytes    = 1 << 10 // a body that brings less in a stall time counts as silent
)

// errStalled is the cause of a request that was cut because nothing came.
var errStalled = errors.New("connection stalled")

// newTransport is a transport of our own, so that closing its idle connections ends every goroutine of a pull.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // ranges and sizes are those of the file
	}
}

// statusError is an answer that is not the one asked for.
type statusError struct {
	code  int
	host  string
	path  string
	after time.Duration // Retry-After, or 0
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s%s: HTTP %d %s", e.host, e.path, e.code, http.StatusText(e.code))
}

// netError is a connection that failed or broke off. What a body brought before it is good. The type tells it from
// failures of our own disk, whose errno looks like a network's.
type netError struct{ err error }

func (e *netError) Error() string { return e.err.Error() }
func (e *netError) Unwrap() error { return e.err }

// reply is an answer with what the hub said about the file on the way to it.
type reply struct {
	*http.Response
	linkedSHA  string // X-Linked-Etag where it is a SHA-256, or empty
	linkedSize int64  // X-Linked-Size, or -1
}

// do sends one request and follows redirects. Silence for c.stall, before or in the body, ends it with errStalled.
// Where stopLinked is set, a redirect that carries the file's hash is the answer. The caller closes the body.
func (c *client) do(ctx context.Context, method string, u *url.URL, header http.Header, stopLinked bool) (*reply, error) {
	if c.offline != nil {
		return nil, fmt.Errorf("%w: %s is not asked", c.offline, u.Host)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.stall, func() { cancel(errStalled) })
	fail := func(err error) (*reply, error) {
		timer.Stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	r := &reply{linkedSize: -1}
	trusted := c.token != "" // until the first hop to another origin, and never again
	origin := u
	for hop := 0; ; hop++ {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return fail(err)
		}
		for k, v := range header {
			req.Header[k] = v
		}
		req.Header.Set("User-Agent", "retort")
		if trusted = trusted && sameOrigin(u, c.hub); trusted {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		res, err := c.http.Do(req)
		if err != nil {
			return fail(&netError{cleanError(err)})
		}
		r.Response = res
		// Only the host that was asked may say what the file is, not the storage it points to.
		if sameOrigin(u, origin) {
			r.readLinked(res.Header)
		}
		if !isRedirect(res.StatusCode) || stopLinked && r.linkedSHA != "" {
			break
		}
		next, err := redirectTarget(u, res.Header.Get("Location"))
		io.CopyN(io.Discard, res.Body, 4<<10)
		res.Body.Close()
		if err == nil && hop+1 >= maxRedirects {
			err = fmt.Errorf("%s: more than %d redirects", origin.Host, maxRedirects)
		}
		if err != nil {
			return fail(err)
		}
		u = next
	}
	r.Body = &watchedBody{body: r.Body, ctx: ctx, cancel: cancel, timer: timer, stall: c.stall}
	if r.StatusCode >= 400 {
		after := retryAfter(r.Header.Get("Retry-After"))
		r.Body.Close()
		return nil, &statusError{r.StatusCode, u.Host, u.Path, after}
	}
	return r, nil
}

// readLinked takes over the hub's headers about a file.
func (r *reply) readLinked(h http.Header) {
	if sha := strings.Trim(h.Get("X-Linked-Etag"), `"`); hashPattern.MatchString(sha) {
		r.linkedSHA = sha
	}
	if n, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil && n >= 0 {
		r.linkedSize = n
	}
}

// cleanError drops the URL that net/http puts into its errors: its query may be signed.
func cleanError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		if u, perr := url.Parse(ue.URL); perr == nil {
			return fmt.Errorf("%s: %w", u.Host, ue.Err)
		}
		return ue.Err
	}
	return err
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirectTarget is where a Location leads from u: only to http and https, and never from https down to http.
func redirectTarget(u *url.URL, location string) (*url.URL, error) {
	next, err := u.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("%s: redirect without a usable address", u.Host)
	}
	switch {
	case next.Scheme != "https" && next.Scheme != "http":
		return nil, fmt.Errorf("%s: redirect to scheme %q refused", u.Host, next.Scheme)
	case u.Scheme == "https" && next.Scheme == "http":
		return nil, fmt.Errorf("%s: redirect from https to http refused", u.Host)
	case next.Hostname() == "" || next.User != nil:
		return nil, fmt.Errorf("%s: redirect to a doubtful address refused", u.Host)
	}
	next.Fragment = ""
	return next, nil
}

// sameOrigin compares scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return a != nil && b != nil && a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// retryAfter reads seconds or a date.
func retryAfter(v string) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}

// watchedBody cuts a body that falls silent. It counts as alive for every aliveBytes that come.
type watchedBody struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	fresh  int // bytes since the timer was set
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if b.fresh += n; b.fresh >= aliveBytes {
		b.fresh = 0
		b.timer.Reset(b.stall)
	}
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			return n, &netError{cause}
		}
		err = &netError{fmt.Errorf("connection broke: %w", err)}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}

// small reads a short document, such as a listing.
func (c *client) small(ctx context.Context, u *url.URL, accept string, limit int64) (data []byte, header http.Header, err error) {
	err = c.retry(ctx, func() (int64, error) {
		r, err := c.do(ctx, http.MethodGet, u, http.Header{"Accept": {accept}}, false)
		if err != nil {
			return 0, err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return 0, &statusError{code: r.StatusCode, host: u.Host, path: u.Path}
		}
		data, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
		if err == nil && int64(len(data)) > limit {
			err = fmt.Errorf("%s%s: answer of more than %d bytes", u.Host, u.Path, limit)
		}
		header = r.Header
		return 0, err
	})
	return data, header, err
}

// gainedBytes is what a try must bring for the count of tries to begin anew.
const gainedBytes = 1 << 20

// retry calls try until it succeeds, fails for good or has failed c.tries times in a row. try returns how many bytes it
// gained.
func (c *client) retry(ctx context.Context, try func() (int64, error)) error {
	for n := 1; ; n++ {
		gained, err := try()
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		if gained >= gainedBytes {
			n = 1
		}
		if n >= c.tries {
			return fmt.Errorf("gave up after %d tries: %w", n, err)
		}
		wait := min(c.backoff<<(n-1), maxBackoff)
		wait += time.Duration(rand.Int64N(int64(wait)/4 + 1)) // so that a crowd does not come back at once
		var status *statusError
		if errors.As(err, &status) && status.after > wait {
			if wait = status.after; wait > maxRetryAfter {
				return fmt.Errorf("server asks to come back in %v: %w", wait.Round(time.Second), err)
			}
		}
		c.note(fmt.Sprintf("%v; trying again in %v (%d of %d)", err, wait.Round(100*time.Millisecond), n+1, c.tries))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// transient reports whether the same request may succeed later.
func transient(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		switch status.code {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var lost *netError
	if !errors.As(err, &lost) {
		return errors.Is(err, errStalled)
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return !(errors.As(err, &dns) && dns.IsNotFound) && !errors.As(err, &cert)
}
