package mirror

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "Mon, 23 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Mon, 23 Nov 2020 12:00:30 GMT": 0, "Mon, 23 Nov 2036 12:00:30 GMT": maxRetryAfter, "315360000": maxRetryAfter, "99999999999999999999": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for _, err := range []error{
		&url.Error{Op: "Get", URL: "http://h/x?sign=SECRET", Err: errors.New("refused")},
		errors.New(`failed to parse Location header "http://h/%zz?sign=SECRET&t=1": bad`),
		fmt.Errorf("outer: %w", &url.Error{Op: "Get", URL: "http://h/?SECRET", Err: errors.New("EOF")}),
	} {
		if got := redact(err).Error(); strings.Contains(got, "SECRET") {
			t.Errorf("%s", got)
		}
	}
	if got := redact(io.ErrUnexpectedEOF); got != io.ErrUnexpectedEOF {
		t.Errorf("%v, want the error itself", got)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add(`malformed HTTP response "GET /?sign=SECRET\x1b"`, "http://h/")
	f.Add("lookup \u009b?a=b on 1.1.1.1", "http://h/?x")
	f.Fuzz(func(t *testing.T, text, rawURL string) {
		for _, err := range []error{errors.New(text), &url.Error{Op: "Get", URL: rawURL, Err: errors.New(text)}} {
			got := redact(err).Error()
			for i, r := range got {
				if r == '?' && !strings.HasPrefix(got[i:], "?…") {
					t.Errorf("%q: a query in %q", text, got)
				}
				if !unicode.IsPrint(r) {
					t.Errorf("%q: a control character in %q", text, got)
				}
			}
			if len(got) > 310 || !utf8.ValidString(got) {
				t.Errorf("%q: %q", text, got)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"7", "-1", "99999999999999999999", "Mon, 23 Nov 2036 12:00:30 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := retryAfter(header, time.Now()); got < 0 || got > maxRetryAfter {
			t.Errorf("%q: %s", header, got)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// How long the worker waits between its attempts: it doubles from 200 ms with jitter, a short Retry-After is kept exactly, and
// a long one is not waited for.
func TestWaits(t *testing.T) {
	tests := []struct {
		retryAfter string
		min, max   []time.Duration // of each wait
	}{
		{"", []time.Duration{100, 200, 400, 800, 1600, 2500}, []time.Duration{200, 400, 800, 1600, 3200, 5000}},
		{"3", []time.Duration{3000, 3000, 3000, 3000, 3000, 3000}, []time.Duration{3000, 3000, 3000, 3000, 3000, 3000}},
		{"6", nil, nil},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				times = append(times, time.Now())
				return &http.Response{StatusCode: 503, Body: http.NoBody, Header: http.Header{"Retry-After": {test.retryAfter}}}, nil
			})}
			worker, err := New(nil, Options{SourceRetries: 6})
			if err != nil {
				t.Fatal(err)
			}
			worker.fetcher.client = client
			f := fetch{fetcher: &worker.fetcher, ctx: t.Context()}
			if err := f.get("http://h/x"); err == nil || f.attempts != len(test.min)+1 {
				t.Errorf("Retry-After %q: %v after %d attempts, want %d", test.retryAfter, err, f.attempts, len(test.min)+1)
			}
			for i := range min(len(test.min), len(times)-1) {
				if got := times[i+1].Sub(times[i]); got < test.min[i]*time.Millisecond || got > test.max[i]*time.Millisecond {
					t.Errorf("Retry-After %q: wait %d is %s, want %d to %d ms", test.retryAfter, i, got, test.min[i], test.max[i])
				}
			}
		})
	}
}
