package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// A bucket that stops working in the middle: the run ends with exit code 1 and says what to do, and what it had no chance to try
// looks as if it had not been tried. When the bucket is mended, the same command does the rest.
func TestBackfillEndsEarly(t *testing.T) {
	tests := []struct {
		name        string
		spoil, mend func(*storetest.Server) error
		answer      func(http.ResponseWriter) bool // while it is spoilt; says true when it has answered
		says        string
	}{
		{"the bucket vanishes",
			func(s *storetest.Server) error {
				return os.Rename(filepath.Join(s.Folder, s.Bucket), filepath.Join(s.Folder, "away"))
			},
			func(s *storetest.Server) error {
				return os.Rename(filepath.Join(s.Folder, "away"), filepath.Join(s.Folder, s.Bucket))
			},
			func(http.ResponseWriter) bool { return false }, `hint: create the bucket "pictures", or mend --to; then run the same command again`},
		{"the token expires", nil, nil, func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")
			return true
		}, "hint: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; then run"},
		{"the server dies", nil, nil, func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, "hint: check --s3-endpoint"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			origin, server := newOrigin(t), storetest.StartS3(t)
			var puts atomic.Int64
			var spoilt, mended atomic.Bool
			proxy := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut && puts.Add(1) == 50 && !mended.Load() {
					if test.spoil != nil {
						if err := test.spoil(server); err != nil {
							t.Error(err)
						}
					}
					spoilt.Store(true)
				}
				return spoilt.Load() && test.answer(w)
			})
			const all = 500
			var events strings.Builder
			for i := range all {
				fmt.Fprintln(&events, origin.event("t", fmt.Sprint(i), 10, fmt.Sprintf("/%d.jpg", i)))
			}
			input := writeFile(t, events.String())
			report := filepath.Join(t.TempDir(), "report.ndjson")
			run := func() outcome {
				return runCommand(t, command(t, server.Env(proxy), "backfill", "--allow-private-sources", "--to", "s3://"+server.Bucket,
					"--store-patience", "2s", "--concurrency", "1", "--log-level", "error", "--report", report, "--failed", input, input))
			}
			got := run()
			if got.code != exitCannotRun || !strings.Contains(got.stderr, test.says) {
				t.Errorf("code %d, %s\nwant %d and %q", got.code, got.stderr, exitCannotRun, test.says)
			}
			text, err := os.ReadFile(report)
			if err != nil {
				t.Fatal(err)
			}
			told, mirrored := strings.Count(string(text), "\n"), strings.Count(string(text), `"outcome":"mirrored"`)
			if mirrored < 40 || mirrored > 60 || told <= mirrored || told > mirrored+20 {
				t.Errorf("%d lines in the report, %d mirrored; want 40 to 60, and a few failed", told, mirrored)
			}
			if want := fmt.Sprintf(" %d snapshots were not tried", all-told); !strings.Contains(got.stderr, want) {
				t.Errorf("%s\nwant %q", got.stderr, want)
			}
			if text, err := os.ReadFile(input); err != nil || string(text) != events.String() {
				t.Errorf("the input, which --failed names too, has %d bytes (%v), want it as it was", len(text), err)
			}

			mended.Store(true)
			spoilt.Store(false)
			if test.mend != nil {
				if err := test.mend(server); err != nil {
					t.Fatal(err)
				}
			}
			if got := run(); got.code != exitOK || len(server.Names(t)) != all {
				t.Errorf("again: code %d, %d objects, want 0 and %d\n%s", got.code, len(server.Names(t)), all, got.stderr)
			}
		})
	}
}
