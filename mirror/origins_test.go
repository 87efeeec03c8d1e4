package mirror_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Pictures as small as they can be and still be recognised.
var (
	jpeg = []byte("\xff\xd8\xff\xe0 a small picture that is whole \xff\xd9")
	png  = append(pngChunk([]byte("\x89PNG\r\n\x1a\n"), "IDAT", " a small picture "), "\x00\x00\x00\x00IEND\xae\x42\x60\x82"...)
	webp = []byte("RIFF\x14\x00\x00\x00WEBPVP8 a small pic.")
)

func pngChunk(b []byte, kind, data string) []byte {
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(data))), kind+data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(kind+data)))
}

// harness is a worker on a directory.
type harness struct {
	*mirror.Worker
	store *store.Dir
	root  string
}

func newHarness(t *testing.T, change func(*mirror.Options)) harness {
	t.Helper()
	root := t.TempDir()
	dir, err := store.OpenDir(root, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	o := mirror.Options{SourceRetries: 2, AllowPrivateSources: true, IdleTimeout: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	worker, err := mirror.New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return harness{worker, dir, root}
}

// stored lists the pictures that a user sees.
func (h harness) stored(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(h.root, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(name, "/.snapshot-mirror/") {
			relative, _ := filepath.Rel(h.root, name)
			names = append(names, relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func send(body []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write(body)
	}
}

// cut announces the whole body and breaks off in the middle.
func cut(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

// raw writes an answer by hand and closes the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(answer))
		_ = conn.Close()
	}
}

// first lets n requests go to one handler and all others to the next.
func first(n int64, a, b http.HandlerFunc) http.HandlerFunc {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= n {
			a(w, r)
			return
		}
		b(w, r)
	}
}

// stall sends a part, if any, and then nothing until the client goes away.
func stall(headers bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if headers {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(jpeg)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

func crc(b []byte) string {
	return strconv.FormatUint(crc64.Checksum(b, crc64.MakeTable(crc64.ECMA)), 10)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// with gives b with something behind it.
func with(b []byte, tail string) []byte { return append(b[:len(b):len(b)], tail...) }

// chunked sends the body in two chunks, without its length.
func chunked(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		_, _ = w.Write(body[len(body)/2:])
	}
}

// hangUp sends something, or nothing, and then a RST in place of the end.
func hangUp(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(answer))
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// slowly sends a byte now and then, for ever.
func slowly(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(answer))
		for ; ; time.Sleep(20 * time.Millisecond) { // the origin's pace
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
		}
	}
}

// where serves h and tells where: by http, or by something else. change, if any, is what its worker needs.
type where func(t *testing.T, h http.Handler) (url string, change func(*mirror.Options))

// byTLS serves with a certificate of an authority, which the worker trusts or doesn't, for a name and a time.
func byTLS(name string, until time.Duration, trusted bool) where {
	return func(t *testing.T, h http.Handler) (string, func(*mirror.Options)) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "?sign=SECRET\x1b[31m"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until),
			IsCA: true, BasicConstraintsValid: true, DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP(name)},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(h)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL, func(o *mirror.Options) {
			pool := x509.NewCertPool()
			if trusted {
				pool.AddCert(certificate)
			}
			o.Tune(func(_ *net.Dialer, tr *http.Transport) { tr.TLSClientConfig = &tls.Config{RootCAs: pool} })
		}
	}
}

// bareTLS is asked by https and does something else with the connection.
func bareTLS(do func(net.Conn)) where {
	return func(t *testing.T, _ http.Handler) (string, func(*mirror.Options)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() { defer conn.Close(); do(conn) }()
			}
		}()
		return "https://" + l.Addr().String(), nil
	}
}
