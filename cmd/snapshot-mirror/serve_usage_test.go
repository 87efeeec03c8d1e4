package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrongUseOfServe(t *testing.T) {
	running := startServe(t, nil, "--to", t.TempDir())
	dataDir := running.args[len(running.args)-3]
	taken := strings.TrimPrefix(running.admin, "http://")
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	nobody := "nats://" + unusedAddress(t)
	tests := []wrongUse{
		{"open to everybody", nil, []string{"serve", "--listen=0.0.0.0:0"}, 2, "--allow-unauthenticated", "serve --help"},
		{"no port", nil, []string{"serve", "--listen=127.0.0.1"}, 2, "HOST:PORT", "serve --help"},
		{"port is taken", nil, []string{"serve", "--listen=" + taken}, 1, "in use", "--listen"},
		{"admin port is taken", nil, []string{"serve", "--admin-listen=" + taken}, 1, "in use", "--admin-listen"},
		{"data directory is taken", nil, []string{"serve", "--data-dir=" + dataDir}, 1, "another process", "--data-dir"},
		{"data directory is a file", nil, []string{"serve", "--data-dir=" + file}, 1, "data directory", "--data-dir"},
		{"destination is a file", nil, []string{"serve", "--to=" + file}, 1, "not a directory", "--to"},
		{"no address of NATS", nil, []string{"serve", "--nats=localhost:4222"}, 2, "nats://HOST", "serve --help"},
		{"no NATS there", nil, []string{"serve", "--nats=" + nobody}, 1, "connecting to NATS", "--nats"},
		{"no credentials file", nil, []string{"serve", "--nats=" + nobody, "--nats-creds=" + filepath.Join(folder, "none")}, 1, "none", "--nats"},
		{"credentials for nobody", nil, []string{"serve", "--nats-creds=" + file}, 2, "without --nats", "serve --help"},
		{"retries in the wrong order", nil, []string{"serve", "--retry-min=2h"}, 2, "--retry-min", "serve --help"},
		{"half of Basic", []string{"SNAPSHOT_MIRROR_CALLBACK_PASSWORD=wrong-secret"}, []string{"serve"}, 2, "--callback-user", "serve --help"},
		{"empty key", nil, []string{"serve", "--sign-key="}, 2, "empty key", "serve --help"},
		{"tags of a directory", nil, []string{"serve", "--tag=a=b"}, 2, "--tag says nothing to a directory", "--to s3://BUCKET"},
		{"rule that is none", nil, []string{"serve", "--include=10"}, 2, "--include", "write a rule like"},
		{"events for serve", nil, []string{"serve", "events.ndjson"}, 2, "unexpected argument", "serve --help"},

		{"failed, without a verb", nil, []string{"failed"}, 2, "expected one of", "failed --help"},
		{"list without serve", nil, []string{"failed", "list", "--admin-url=http://" + strings.TrimPrefix(nobody, "nats://")}, 1, "refused", "is serve running"},
		{"list from no URL", nil, []string{"failed", "list", "--admin-url=127.0.0.1:9090"}, 2, "--admin-url", "http://"},
		{"list from the callback's address", nil, []string{"failed", "list", "--admin-url=" + running.callback}, 1, "404", "--admin-listen"},
		{"no such reason", nil, []string{"failed", "list", "--reason=gone"}, 2, "source_missing", "failed --help"},
		{"retry which", nil, []string{"failed", "retry"}, 2, "which", "--all"},
		{"discard which", nil, []string{"failed", "discard"}, 2, "which", "--all"},
		{"a share that is none", nil, []string{"backfill", "--shard=4/4", file}, 2, "0 to N-1", "backfill --help"},
		{"enqueue without doing it", nil, []string{"backfill", "--enqueue", "--dry-run", file}, 2, "--dry-run", "backfill --help"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if args[0] == "serve" { // so that each row is wrong in one way
				args = append([]string{"serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--data-dir=" + filepath.Join(t.TempDir(), "data"), "--to=" + folder}, args[1:]...)
			}
			c := command(t, test.env, append(args, "--log-level=error")...)
			c.Dir = t.TempDir()
			got := runCommand(t, c)
			wantWrong(t, got, test.code, test.err, test.hint)
			if strings.Contains(got.stderr, "wrong-secret") {
				t.Error("a secret is printed")
			}
		})
	}
}

// unusedAddress is one where nobody listens.
func unusedAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
