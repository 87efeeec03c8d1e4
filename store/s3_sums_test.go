package store_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// puts is what came to a server of PUTs.
type puts struct {
	mu      sync.Mutex
	crc32cs int
	md5s    int
	spoil   bool // change a byte of each body
}

func (p *puts) see(w http.ResponseWriter, r *http.Request, server *storetest.Server) bool {
	if r.Method != http.MethodPut {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("X-Amz-Checksum-Crc32c") != "" {
		p.crc32cs++
	}
	if r.Header.Get("Content-Md5") != "" {
		p.md5s++
	}
	if p.spoil {
		text, _ := io.ReadAll(r.Body)
		text[0]++
		r.Body = io.NopCloser(strings.NewReader(string(text)))
		server.Forward(w, r)
		return true
	}
	return false
}

// A service that verifies CRC32C is told that, after some objects, and finds out what has changed on the way as before.
func TestS3Learns(t *testing.T) {
	server := storetest.StartS3(t)
	var seen puts
	proxy := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool { return seen.see(w, r, server) })
	s3 := openS3(t, server, proxy, nil)
	put := func(i int) error {
		o := storetest.Object(fmt.Sprintf("1/%d", i), fmt.Sprintf("picture %d", i))
		o.IfAbsent = true
		return s3.Put(t.Context(), o)
	}
	for i := range 40 {
		if err := put(i); err != nil {
			t.Fatal(err)
		}
	}
	// 16 and a conditional one with an MD5, one with a wrong CRC32C, the rest with a right one.
	if seen.md5s != 17 || seen.crc32cs != 25 || !s3.Excludes() {
		t.Errorf("%d with an MD5, %d with a CRC32C, excludes %t", seen.md5s, seen.crc32cs, s3.Excludes())
	}
	if err := put(7); !errors.Is(err, store.ErrExists) {
		t.Errorf("putting what is there: %v", err)
	}
	seen.spoil = true
	if err := put(100); err == nil {
		t.Error("no error for a body that has changed on the way")
	}
	if names := server.Names(t); len(names) != 40 || slices.Contains(names, store.ProbeKey) || slices.Contains(names, "1/100") {
		t.Errorf("%d objects: %q", len(names), names)
	}
}

// A service that does not know one or the other is told what it knows.
func TestS3LearnsNothing(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   func(r *http.Request, stored bool) int
		md5s     int
		crc32cs  int
		excludes bool
	}{
		{"ignores all", func(*http.Request, bool) int { return 200 }, 41, 1, false},
		{"refuses CRC32C", func(r *http.Request, _ bool) int {
			if r.Header.Get("X-Amz-Checksum-Crc32c") != "" {
				return 400
			}
			return 200
		}, 41, 2, false},
		{"excludes", func(r *http.Request, stored bool) int {
			if stored && r.Header.Get("If-None-Match") == "*" {
				return 412
			}
			return 200
		}, 41, 1, true},
		{"forbids the probe", func(r *http.Request, _ bool) int {
			if strings.HasSuffix(r.URL.Path, store.ProbeKey) {
				return 403
			}
			return 200
		}, 41, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen puts
			stored := map[string]bool{}
			endpoint := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				seen.see(w, r, nil)
				status := test.answer(r, stored[r.URL.Path])
				if status == 200 {
					stored[r.URL.Path] = true
					sum := md5.Sum(body)
					w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
				}
				w.WriteHeader(status)
			}))
			s3 := openS3(t, &storetest.Server{Bucket: "pictures", AccessKey: "a", SecretKey: "secretsecret"}, endpoint, nil)
			for i := range 40 {
				if err := s3.Put(t.Context(), storetest.Object(fmt.Sprintf("1/%d", i), fmt.Sprintf("picture %d", i))); err != nil {
					t.Fatal(err)
				}
			}
			if seen.md5s != test.md5s || seen.crc32cs != test.crc32cs || s3.Excludes() != test.excludes {
				t.Errorf("%d with an MD5, %d with a CRC32C, excludes %t; want %d, %d, %t", seen.md5s, seen.crc32cs, s3.Excludes(), test.md5s, test.crc32cs, test.excludes)
			}
		})
	}
}
