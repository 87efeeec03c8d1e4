package store_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What a bucket is told of an object it knows afterwards, as far as it knows such a thing at all: of those that are chosen with
// -providers, only MinIO encrypts, and versitygw has one storage class.
func TestS3HeadersKept(t *testing.T) {
	plain := store.S3Headers{CacheControl: "max-age=31536000, immutable", Tags: map[string]string{"team": "video: a=b +c", "empty": ""}}
	encryptedBy := func(sse, key string) store.S3Headers { return store.S3Headers{SSE: sse, KMSKeyID: key} }
	kept := map[string][]store.S3Headers{
		"versitygw": {plain},
		"MinIO":     {plain, {StorageClass: "REDUCED_REDUNDANCY"}, encryptedBy(store.SSES3, ""), encryptedBy(store.SSEKMS, storetest.KMSKey), encryptedBy(store.SSEKMS, "")},
		"SeaweedFS": {plain, {StorageClass: "STANDARD_IA"}},
	}
	for _, p := range storetest.Providers {
		if !isChosen(p) || kept[p.Name] == nil {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			server := p.Start(t)
			client := server.Client(t)
			for i, want := range kept[p.Name] {
				s3 := openS3(t, server, server.Endpoint, func(o *store.S3Options) { o.Headers = want })
				key := fmt.Sprint("1/", i)
				if err := s3.Put(t.Context(), storetest.Object(key, "picture")); err != nil {
					t.Fatalf("%+v: %v", want, err)
				}
				info, err := client.StatObject(t.Context(), server.Bucket, key, minio.StatObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				tags, err := client.GetObjectTagging(t.Context(), server.Bucket, key, minio.GetObjectTaggingOptions{})
				if err != nil {
					t.Fatal(err)
				}
				got := store.S3Headers{CacheControl: info.Metadata.Get("Cache-Control"), Tags: tags.ToMap()}
				if want.StorageClass != "" {
					got.StorageClass = info.Metadata.Get("X-Amz-Storage-Class")
				}
				got.SSE = map[string]string{"AES256": store.SSES3, "aws:kms": store.SSEKMS}[info.Metadata.Get("X-Amz-Server-Side-Encryption")]
				if want.KMSKeyID != "" {
					got.KMSKeyID = strings.TrimPrefix(info.Metadata.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"), "arn:aws:kms:")
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if body, there := server.Get(t, key); !there || string(body) != "picture" {
					t.Errorf("the object is %q", body)
				}
			}
		})
	}
}

// Each PUT has the headers, and signed ones: those of pictures, of the probe, and of what is tried out after some puts.
func TestS3HeadersOfEachPut(t *testing.T) {
	server := storetest.StartS3(t)
	names := []string{"X-Amz-Storage-Class", "Cache-Control", "X-Amz-Tagging", "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"}
	tests := []struct {
		name    string
		headers store.S3Headers
		want    []string
	}{
		{"none", store.S3Headers{}, []string{"", "", "", "", ""}},
		{"S3", store.S3Headers{StorageClass: "STANDARD_IA", CacheControl: "no-cache", SSE: store.SSES3, Tags: map[string]string{"a b": "c=d"}},
			[]string{"STANDARD_IA", "no-cache", "a+b=c%3Dd", "AES256", ""}},
		{"KMS with the account's key", store.S3Headers{SSE: store.SSEKMS}, []string{"", "", "", "aws:kms", ""}},
		{"KMS with a key", store.S3Headers{SSE: store.SSEKMS, KMSKeyID: "alias/pictures"}, []string{"", "", "", "aws:kms", "alias/pictures"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var mu sync.Mutex
			puts := 0
			proxy := server.Proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				mu.Lock()
				defer mu.Unlock()
				puts++
				signed := r.Header.Get("Authorization")
				for i, name := range names {
					if got := r.Header.Get(name); got != test.want[i] {
						t.Errorf("%s: %s is %q, want %q", r.URL.Path, name, got, test.want[i])
					}
					if lower := strings.ToLower(name); test.want[i] != "" && strings.HasPrefix(lower, "x-amz-") && !strings.Contains(signed, lower) {
						t.Errorf("%s: %s is not signed", r.URL.Path, name)
					}
				}
				// What this server does not know is not its matter here; all else, the signature too, is.
				return false
			})
			s3 := openS3(t, server, proxy, func(o *store.S3Options) { o.Headers = test.headers })
			for i := range 16 { // then it learns
				if err := s3.Put(t.Context(), storetest.Object(fmt.Sprint(test.name, "/", i), "picture")); err != nil {
					t.Fatal(err)
				}
			}
			learned := puts
			findings, err := s3.Probe(t.Context())
			if err != nil || slices.ContainsFunc(findings, func(f store.Finding) bool { return !f.OK }) {
				t.Errorf("probe: %+v, %v", findings, err)
			}
			if learned < 18 || puts < learned+4 {
				t.Errorf("%d PUTs of pictures and of trying out, %d of the probe", learned, puts-learned)
			}
		})
	}
}

// What a service refuses of the headers concerns every object, and the hint names the setting.
func TestS3HeadersRefused(t *testing.T) {
	server := storetest.StartS3(t)
	headers := store.S3Headers{StorageClass: "COLD", SSE: store.SSEKMS, KMSKeyID: "k", Tags: map[string]string{"a": "b"}}
	tests := []struct {
		status     int
		code, hint string
		whole      bool
	}{
		{400, "InvalidStorageClass", "--storage-class", true},
		{400, "InvalidTag", "--tag", true},
		{400, "kms:KeyNotFound", "--sse-kms-key-id", true},
		{400, "KMS.NotFoundException", "--sse-kms-key-id", true},
		{501, "NotImplemented", "--storage-class, --sse, --tag", true},
		{403, "AccessDenied", "s3:PutObjectTagging", false},
		{403, "AccessDenied", "kms:GenerateDataKey", false},
	}
	for _, test := range tests {
		proxy := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(test.status)
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", test.code)
			return true
		})
		err := openS3(t, server, proxy, func(o *store.S3Options) { o.Headers = headers }).Put(t.Context(), storetest.Object("1/1", "picture"))
		e, ok := errors.AsType[*store.Error](err)
		if !ok || e.Kind != store.Denied || e.Whole != test.whole || !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%s: %v (%+v), want it denied with a hint about %s", test.code, err, e, test.hint)
		}
	}
}

// An object that is encrypted with a key has an ETag like an MD5 that is none, also where the answer does not say so.
func TestS3KeyEncryptedETag(t *testing.T) {
	server := storetest.StartS3(t)
	for sse, fails := range map[string]bool{store.SSES3: true, store.SSEKMS: false} {
		proxy := server.Proxy(t, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
			return true
		})
		err := openS3(t, server, proxy, func(o *store.S3Options) { o.Headers.SSE = sse }).Put(t.Context(), storetest.Object("1/1", "picture"))
		if (err != nil) != fails {
			t.Errorf("--sse %s: %v", sse, err)
		}
	}
}

func TestS3HeaderOptions(t *testing.T) {
	for name, h := range map[string]store.S3Headers{"tag": {Tags: map[string]string{"a": "b&c"}}, "encryption": {SSE: "AES256"}} {
		if _, err := store.NewS3(store.S3Options{Bucket: "pictures", Region: "us-east-1", Headers: h}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
