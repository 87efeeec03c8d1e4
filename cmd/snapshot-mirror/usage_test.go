package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// wrongUse is a command that can't work, and what it must say.
type wrongUse struct {
	name string
	env  []string
	args []string
	code int
	err  string
	hint string
}

// Wrong use ends soon, with one line that says what is wrong, one that says what to do, and the right exit code.
func TestWrongUse(t *testing.T) {
	server := storetest.StartS3(t)
	right := server.Env(server.Endpoint)
	with := func(pairs ...string) []string { return append(append([]string{}, right...), pairs...) }
	folder := t.TempDir()
	events := writeFile(t, newOrigin(t).event("task", "1", 10, "/1.jpg"))
	unknownKey := filepath.Join(folder, "settings.yaml")
	if err := os.WriteFile(unknownKey, []byte("# mine\nconcurrency: 4\nbucket: pictures\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	to := "--to=s3://" + server.Bucket
	tests := []wrongUse{
		{"no bucket named", right, []string{"--to=s3://", events}, 2, "--to", "--help"},
		{"no such bucket", right, []string{"--to=s3://nothing-here", events}, 1, "NoSuchBucket", "create the bucket"},
		{"bucket name", right, []string{"--to=s3://No_Bucket!", events}, 2, "ucket name", "--to"},
		{"another scheme", right, []string{"--to=gs://pictures", events}, 2, "gs://", "--help"},
		{"endpoint without a scheme", right, []string{to, "--s3-endpoint=localhost:9000", events}, 2, "endpoint must be", "--s3-endpoint"},
		{"endpoint where nobody listens", right, []string{to, "--s3-endpoint=http://127.0.0.1:1", events}, 1, "refused", "--s3-endpoint"},
		{"endpoint without a name", right, []string{to, "--s3-endpoint=http://nowhere.invalid", events}, 1, "nowhere.invalid", "--s3-endpoint"},
		{"wrong secret", with("AWS_SECRET_ACCESS_KEY=wrong-secret"), []string{to, events}, 1, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"},
		{"half of the credentials", with("AWS_SECRET_ACCESS_KEY="), []string{to, events}, 2, "only one of", "set both"},
		{"no credentials", []string{"AWS_ENDPOINT_URL_S3=" + server.Endpoint}, []string{to, events}, 1, "no credentials", "AWS_ACCESS_KEY_ID"},
		{"unknown flag", nil, []string{"--bucket=x", events}, 2, "unknown flag --bucket", "--help"},
		{"unknown key of the file", nil, []string{"--config=" + unknownKey, events}, 2, unknownKey + `:3: there is no setting "bucket"`, "--help"},
		{"no such settings file", nil, []string{"--config=" + filepath.Join(folder, "none.yaml"), events}, 2, "none.yaml", "--help"},
		{"bad value in the environment", []string{"SNAPSHOT_MIRROR_CONCURRENCY=many"}, []string{events}, 2, "SNAPSHOT_MIRROR_CONCURRENCY", "--help"},
		{"no such events", nil, []string{filepath.Join(folder, "none.ndjson")}, 2, "none.ndjson", "name event files"},
		{"report in no directory", nil, []string{"--report=" + filepath.Join(folder, "none", "r"), events}, 2, "--report", "directory"},
		{"report over the input", nil, []string{"--report=" + events, events}, 2, "would overwrite", "another file"},
		{"failed in no directory", nil, []string{"--failed=" + filepath.Join(folder, "none", "f"), events}, 2, "--failed", "directory"},
		{"destination is a file", nil, []string{"--to=" + file, events}, 1, "not a directory", "--to"},
		{"storage class of a directory", nil, []string{"--storage-class=STANDARD_IA", events}, 2, "--storage-class says nothing to a directory", "--to s3://BUCKET"},
		{"encryption of a directory", nil, []string{"--sse=S3", events}, 2, "--sse says nothing to a directory", "--to s3://BUCKET"},
		{"cache control of a directory", nil, []string{"--cache-control=no-cache", events}, 2, "--cache-control says nothing to a directory", "--to s3://BUCKET"},
		{"tags of a directory", nil, []string{"--tag=a=b", events}, 2, "--tag says nothing to a directory", "--to s3://BUCKET"},
		{"encryption that is none", right, []string{to, "--sse=AES", events}, 2, `--sse must be one of "off","S3","KMS"`, "--help"},
		{"key of another encryption", right, []string{to, "--sse=S3", "--sse-kms-key-id=k", events}, 2, "nothing without --sse KMS", "--to"},
		{"tags that are none", right, []string{to, "--tag=a", events}, 2, `"a" is not a tag: write K=V`, "--help"},
		{"bandwidth that is none", nil, []string{"--bandwidth=fast", events}, 2, "write it like 10MB, or off", "--help"},
		{"rate that is none", nil, []string{"--rate=0", events}, 2, `"0" is not a rate`, "--help"},
		{"rule that is none", nil, []string{"--include=file=1", events}, 2, `--include "file=1": there is no "file"`, "write a rule like"},
		{"rule that is none, of two", nil, []string{"--exclude=definition=10;definition=x", events}, 2, `--exclude "definition=x"`, "write a rule like"},
		{"key template without a name", nil, []string{"--key-template={file_id}", events}, 2, "{time_offset} is missing", "--key-template"},
		{"key template leads out", nil, []string{"--key-template=../{file_id}/{time_offset}", events}, 2, `segment ".."`, "--key-template"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := command(t, test.env, append([]string{"backfill", "--allow-private-sources"}, test.args...)...)
			c.Dir = t.TempDir()
			begin := time.Now()
			got := runCommand(t, c)
			if elapsed := time.Since(begin); elapsed > 10*time.Second {
				t.Errorf("took %s, want less than 10 s", elapsed)
			}
			wantWrong(t, got, test.code, test.err, test.hint)
			if strings.Contains(got.stderr, "wrong-secret") || strings.Contains(got.stderr, server.SecretKey) {
				t.Error("a secret is printed")
			}
		})
	}
}

// wantWrong wants a command to have ended with a code, one line of error, one of hint, and nothing else.
func wantWrong(t *testing.T, got outcome, code int, err, hint string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit code %d, want %d", got.code, code)
	}
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "snapshot-mirror: error: ") || !strings.Contains(lines[0], err) ||
		!strings.HasPrefix(lines[1], "snapshot-mirror: hint: ") || !strings.Contains(lines[1], hint) {
		t.Errorf("standard error:\n%s\nwant one line of error with %q and one of hint with %q", got.stderr, err, hint)
	}
	if got.stdout != "" {
		t.Errorf("standard output: %q, want nothing", got.stdout)
	}
}
