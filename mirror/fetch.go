package mirror

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"
)

// The worker's own retries are short; waiting for hours belongs to whoever calls it.
const (
	retryWaitMin = 200 * time.Millisecond
	retryWaitMax = 5 * time.Second
)

// fetcher gets pictures from their origins.
type fetcher struct {
	client    *http.Client
	hosts     *hosts
	buffers   *buffers
	bandwidth *rate.Limiter // nil for no limit
	options   Options
	log       *slog.Logger
}

// fetch is the work on one picture: its attempts, and the memory it holds.
type fetch struct {
	*fetcher
	ctx      context.Context
	host     *host
	stall    *time.Timer // runs out when no byte comes
	attempts int
	failure  *Failure // of the last attempt
	loan     *loan
	picture  picture
}

// get fetches and proves the picture at rawURL, which must have passed Validate. While its host is in back-off, it waits as
// long as hosts says. The error is a Failure, the context's, or errStopped. Either way the caller calls release.
func (f *fetch) get(rawURL string) error {
	for {
		target, err := f.options.Origin.target(rawURL, time.Now())
		if err != nil {
			return err
		}
		h, err := f.hosts.enter(f.ctx, hostOf(target))
		if _, held := asFailure(err); held && f.attempts > 0 {
			return f.failure // its own tells more
		}
		if err != nil {
			return err
		}
		f.host = h
		err = f.ask(target)
		h.leave()
		if failure, ok := asFailure(err); !ok || !failure.ofHost || !f.hosts.patient || !h.resting() {
			return err
		}
	}
}

// hostOf is what counts as one host: a name and a port.
func hostOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// stallAfter is how long a fetch may wait for a byte before another snapshot is worked on in its place.
const stallAfter = 2 * time.Second

// ask does the attempts that follow each other within seconds.
func (f *fetch) ask(target string) error {
	f.stall = time.AfterFunc(stallAfter, placeOf(f.ctx).Leave)
	defer f.stall.Stop()
	before := f.attempts
	req, err := retryablehttp.NewRequestWithContext(f.ctx, http.MethodGet, target, nil)
	if err != nil {
		return failf(BadSnapshot, "the URL makes no request")
	}
	req.Header.Set("User-Agent", f.options.UserAgent)
	f.options.Origin.dress(req.Header)
	req.Header.Set("Accept-Encoding", "identity")
	// A response is read inside the handler, so that a body that breaks off is retried like a connection that fails.
	req.SetResponseHandler(f.receive)
	client := retryablehttp.Client{
		HTTPClient:     f.client,
		RetryWaitMin:   retryWaitMin,
		RetryWaitMax:   retryWaitMax,
		RetryMax:       f.options.SourceRetries,
		CheckRetry:     f.again,
		Backoff:        f.wait,
		ErrorHandler:   retryablehttp.PassthroughErrorHandler,
		RequestLogHook: func(_ retryablehttp.Logger, _ *http.Request, attempt int) { f.attempts = before + attempt + 1 },
	}
	resp, err := client.Do(req)
	if resp != nil {
		_ = resp.Body.Close() // receive has read it
	}
	if err == nil {
		f.host.answer()
		return nil
	}
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	return classifyFetch(err)
}

// release gives the memory back, which nobody may be reading any more.
func (f *fetch) release() {
	if f.loan != nil {
		f.loan.giveBack()
		f.loan = nil
	}
}

// maxRead has what was read still lie in the processor's cache when it is hashed.
const maxRead = 256 << 10

// receive judges one answer and takes its body. The error is a Failure or the context's.
func (f *fetch) receive(resp *http.Response) error {
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // a short error page leaves the connection usable
		return classifyStatus(resp)
	}
	claims := claimsOf(resp)
	limit := f.options.MaxImageSize
	if claims.length > limit {
		return failf(TooLarge, "the picture has %d bytes, more than the %d of --max-image-size", claims.length, limit)
	}
	need := claims.length
	if need < 0 {
		need = limit // given back as soon as the size is known
	}
	f.release() // of an attempt before
	loan, err := f.buffers.lend(f.ctx, max(need, 1), f.host.bytes)
	if err != nil {
		return err
	}
	f.loan = loan
	prover := newProver(claims)
	body := f.limited(resp.Body)
	for {
		if len(loan.mem) == cap(loan.mem) {
			loan.grow(int(min(2*int64(cap(loan.mem)), limit+1)))
		}
		n, err := body.Read(loan.mem[len(loan.mem):min(cap(loan.mem), len(loan.mem)+maxRead)])
		f.stall.Reset(stallAfter)
		fresh := loan.mem[len(loan.mem) : len(loan.mem)+n]
		loan.mem = loan.mem[:len(loan.mem)+n]
		prover.write(fresh)
		if int64(len(loan.mem)) > limit {
			return failf(TooLarge, "the picture has more than the %d bytes of --max-image-size", limit)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return brokenBody(err, len(loan.mem), claims.length)
		}
	}
	loan.shrink(max(int64(len(loan.mem)), 1))
	f.picture, err = prover.prove(loan.mem)
	return err
}

func brokenBody(err error, got int, want int64) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errors.New("no byte came for the idle time-out")
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("it took longer than --attempt-timeout")
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection was closed")
	}
	if want >= 0 {
		return hostFailf(Incomplete, "the body broke off after %d of %d bytes: %w", got, want, redact(err))
	}
	return hostFailf(Incomplete, "the body broke off after %d bytes: %w", got, redact(err))
}

// again is the one place that decides whether an attempt is followed by another.
func (f *fetch) again(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil {
		return false, nil
	}
	f.failure = classifyFetch(err)
	f.log.Debug("attempt failed", "attempt", f.attempts, "reason", f.failure.Reason, "err", f.failure)
	switch {
	case f.failure.ofHost:
		if f.host.trouble(f.failure) {
			return false, nil
		}
	case f.failure.Reason != SourceBlocked:
		f.host.answer()
	}
	return f.failure.Reason.Info().Retry == Soon && f.failure.RetryAfter <= retryWaitMax, nil
}

// wait is how long to wait before the next attempt: what the origin asks for, or a doubling time with jitter, and in any case as the
// host's rate has it.
func (f *fetch) wait(shortest, longest time.Duration, attempt int, _ *http.Response) time.Duration {
	turn := f.host.turn()
	if f.failure.RetryAfter > 0 {
		return max(f.failure.RetryAfter, turn)
	}
	d := min(shortest<<min(attempt, 16), longest)
	return max(d/2+rand.N(d/2), turn)
}

// classifyFetch turns every error of a request into a Failure.
func classifyFetch(err error) *Failure {
	if f, ok := asFailure(err); ok {
		return f
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return hostFailf(SourceUnreachable, "no answer from the origin in time: %w", redact(err))
	}
	return hostFailf(SourceUnreachable, "no answer from the origin: %w", redact(err))
}

// classifyStatus is for every answer but 200.
func classifyStatus(resp *http.Response) *Failure {
	reason := SourceDenied
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		reason = SourceMissing
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		reason = SourceBusy
	case code < 300:
		reason = Incomplete // 206 without a Range, 204, ...: not the picture we asked for
	case code < 400:
		reason = SourceUnreachable // a redirect without a target
	}
	f := failf(reason, "the origin answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	f.ofHost = reason == SourceBusy
	f.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return f
}

// maxRetryAfter bounds what an origin can ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the header's two forms, seconds and a date; 0 for anything else or for the past.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// foreignText is what an error quotes of what came, or of a URL.
var foreignText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?|\?[^\s"']*`)

// redact takes out of a request's error the URL, what else looks like a query string or is quoted of the other side's words, which may
// repeat a query or a header, and raw control characters.
func redact(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	text := err.Error()
	safe := foreignText.ReplaceAllStringFunc(text, func(s string) string { return s[:1] + "…" })
	if !utf8.ValidString(safe) || strings.ContainsFunc(safe, func(r rune) bool { return !unicode.IsPrint(r) }) {
		safe = strconv.Quote(safe)
	}
	if safe = clip(safe, 300); safe != text {
		return errors.New(safe)
	}
	return err
}
