package store_test

import (
	"cmp"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var (
	chosen = flag.String("providers", storetest.Providers[0].Name, "servers that TestProvider builds and runs, with commas between, or all")
	update = flag.Bool("update", false, "write the README's table of providers; wants -providers all")
)

// Each S3 service keeps the contract, and the README says what a probe has found in it. Besides those that are chosen, a service
// that somebody runs can be named in the environment: see the README.
func TestProvider(t *testing.T) {
	if o, ok := serviceOfEnvironment(); ok {
		t.Run("environment", func(t *testing.T) { runProvider(t, o, nil) })
	}
	var rows []string
	known := false
	for _, p := range storetest.Providers {
		if !isChosen(p) {
			continue
		}
		known = true
		t.Run(p.Name, func(t *testing.T) {
			server := p.Start(t)
			findings := runProvider(t, store.S3Options{
				Endpoint: server.Endpoint, Bucket: server.Bucket, Region: "us-east-1", Addressing: "auto",
				Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
			}, p.Lacking)
			rows = append(rows, fmt.Sprintf("| [%s](%s) %s | passed%s |%s\n", p.Name, p.Page, p.Version(t), p.Note, cells(findings)))
		})
	}
	if !known {
		t.Errorf("-providers %s names none", *chosen)
	}
	if !t.Failed() && len(rows) > 0 { // none when -run asks for the environment's alone
		inReadme(t, rows)
	}
}

func isChosen(p storetest.Provider) bool {
	return *chosen == "all" || slices.Contains(strings.Split(*chosen, ","), p.Name)
}

// columns are the findings that the table has.
var columns = []string{"list", "look", "put", "metadata", "etag", "content md5", "conditional put", "crc32c"}

func cells(findings []store.Finding) string {
	var b strings.Builder
	for _, name := range columns {
		i := slices.IndexFunc(findings, func(f store.Finding) bool { return f.Name == name })
		value, _, _ := strings.Cut(findings[i].Value, ":")
		value, _, _ = strings.Cut(value, ",")
		fmt.Fprintf(&b, " %s |", value)
	}
	return b.String()
}

// inReadme wants each row in the README's table, or writes them all.
func inReadme(t *testing.T, rows []string) {
	name := filepath.Join("..", "README.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- providers: generated -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(string(text), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("the README has no place for the table of providers")
	}
	if *update {
		if *chosen != "all" {
			t.Fatal("-update wants -providers all")
		}
		table = "| service | contract | " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat("---|", len(columns)+2) + "\n" + strings.Join(rows, "")
		if err := os.WriteFile(name, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range rows {
		if !strings.Contains(table, row) {
			t.Errorf("not in the README; run this test with -providers all -update:\n%s", row)
		}
	}
}

func serviceOfEnvironment() (store.S3Options, bool) {
	const prefix = "SNAPSHOT_MIRROR_TEST_S3_"
	o := store.S3Options{
		Endpoint: os.Getenv(prefix + "ENDPOINT"), Bucket: os.Getenv(prefix + "BUCKET"), Region: cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"),
		Addressing: cmp.Or(os.Getenv(prefix+"ADDRESSING"), "auto"),
		Credentials: store.S3Credentials{
			AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		},
	}
	return o, o.Endpoint != ""
}

// runProvider runs the suite and a probe below a new prefix, where it leaves what it has put: somebody's bucket may have a rule
// against deleting.
func runProvider(t *testing.T, o store.S3Options, lacking []string) (findings []store.Finding) {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	lookup := map[string]minio.BucketLookupType{"path": minio.BucketLookupPath, "virtual": minio.BucketLookupDNS}[o.Addressing]
	client, err := minio.New(u.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(o.Credentials.AccessKeyID, o.Credentials.SecretAccessKey, o.Credentials.SessionToken),
		Secure: u.Scheme == "https", Region: o.Region, BucketLookup: lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Concurrency = 8
	open := func(t *testing.T) (*store.S3, string) {
		o := o
		o.Prefix = "snapshot-mirror-test/" + rand.Text()
		s3, err := store.NewS3(o)
		if err != nil {
			t.Fatal(err)
		}
		return s3, o.Prefix + "/"
	}
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Subject {
			s3, prefix := open(t)
			return storetest.Subject{
				Store: s3, Lacking: lacking,
				Read: func(t *testing.T, key string) []byte {
					object, err := client.GetObject(t.Context(), o.Bucket, prefix+key, minio.GetObjectOptions{})
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(object)
					if err != nil {
						t.Fatal(err)
					}
					return body
				},
				List: func(t *testing.T) []string {
					var names []string
					for o := range client.ListObjectsIter(t.Context(), o.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
						if o.Err != nil {
							t.Fatal(o.Err)
						}
						names = append(names, strings.TrimPrefix(o.Key, prefix))
					}
					slices.Sort(names)
					return names
				},
			}
		})
	})
	t.Run("probe", func(t *testing.T) {
		s3, _ := open(t)
		findings, err = s3.Probe(t.Context())
		for _, f := range findings {
			t.Logf("%s: %s. %s", f.Name, f.Value, f.Hint)
			if !f.OK {
				t.Errorf("%s is in the way", f.Name)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return findings
}
