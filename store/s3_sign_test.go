package store

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	theirs "github.com/minio/minio-go/v7/pkg/signer"
)

// FuzzSign holds our signature against minio-go's: for any key, header and credentials, both are the same.
func FuzzSign(f *testing.F) {
	f.Add("5285890780000000004/10000.jpg", "text/plain", "secret", "")
	f.Add("a b/ü+%41~!*'()/c", "  two   words ", "s3cr3t/+", "token")
	f.Add("..;=&?#$%2F", "", "x", "a  b")
	f.Fuzz(func(t *testing.T, key, header, secret, token string) {
		if secret == "" || checkKey(key) != nil {
			return
		}
		request := func() *http.Request {
			u, err := url.Parse("https://host.example:9000/bucket/" + s3utils.EncodePath(key))
			if err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequest(http.MethodPut, u.String(), nil)
			req.Header.Set("User-Agent", "someone")
			req.Header.Set("Accept-Encoding", "identity")
			req.Header.Set("If-None-Match", "*")
			req.Header["X-Amz-Meta-Text"] = []string{header}
			req.Header["X-Amz-Meta-Two"] = []string{"a", header}
			req.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
			return req
		}
		their, our := theirs.SignV4(*request(), "access", secret, token, "eu-west-1"), request()
		now, err := time.Parse("20060102T150405Z", their.Header.Get("X-Amz-Date")) // theirs looks at the clock
		if err != nil {
			t.Fatal(err)
		}
		s := &signer{region: "eu-west-1"}
		s.signAt(our, credentials.Value{AccessKeyID: "access", SecretAccessKey: secret, SessionToken: token}, now)
		if got, want := our.Header.Get("Authorization"), their.Header.Get("Authorization"); got != want {
			t.Errorf("ours  %s\ntheirs %s", got, want)
		}
	})
}

// The key of a day is kept, and no longer used when the day or the secret changes.
func TestSigningKey(t *testing.T) {
	s := &signer{region: "eu-west-1"}
	first := s.keyOf("secret", "20261125")
	if s.keyOf("secret", "20261125") != first {
		t.Error("the key is derived again")
	}
	for _, other := range []*signingKey{s.keyOf("secret", "20261126"), s.keyOf("other", "20261125")} {
		if string(other.key) == string(first.key) {
			t.Error("another day, or another secret, has the same key")
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := &signer{region: "eu-west-1"}
	value := credentials.Value{AccessKeyID: "access", SecretAccessKey: "secret"}
	request := func() *http.Request {
		req := httptest.NewRequest(http.MethodPut, "https://host.example/bucket/5285890780000000004/10000.jpg", nil)
		for _, name := range []string{"Content-Type", "If-None-Match", headerCRC32C, "X-Amz-Meta-File-Id", "X-Amz-Meta-Time-Offset", "X-Amz-Meta-Definition", "X-Amz-Meta-Size"} {
			req.Header.Set(name, "value")
		}
		return req
	}
	b.Run("ours", func(b *testing.B) {
		req := request()
		b.ReportAllocs()
		for b.Loop() {
			s.signAt(req, value, time.Now())
		}
	})
	b.Run("minio-go", func(b *testing.B) {
		req := request()
		b.ReportAllocs()
		for b.Loop() {
			theirs.SignV4(*req, "access", "secret", "", "eu-west-1")
		}
	})
}
