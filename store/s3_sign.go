package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// signer signs the PUT of an object as minio-go does, by AWS Signature Version 4 without the payload's hash, for a third of the CPU
// time and of the memory: minio-go's took a tenth of all that mirroring a picture takes. FuzzSign holds both against each other.
// Source: Amazon S3 API reference, "Signature Calculations for the Authorization Header".
type signer struct {
	creds  *credentials.Credentials
	region string
	key    atomic.Pointer[signingKey]
}

// signingKey is good for one day.
type signingKey struct {
	day, secret string
	scope       string
	key         []byte
}

// sign adds to the request's header, whose names are canonical. The request has no query.
func (s *signer) sign(req *http.Request) error {
	value, err := s.creds.GetWithContext(nil)
	if err != nil {
		return err
	}
	s.signAt(req, value, time.Now().UTC())
	return nil
}

const unsignedPayload = "UNSIGNED-PAYLOAD"

// notSigned are headers that something on the way may change.
var notSigned = map[string]bool{"Accept-Encoding": true, "Authorization": true, "User-Agent": true}

func (s *signer) signAt(req *http.Request, value credentials.Value, now time.Time) {
	date := now.Format("20060102T150405Z")
	req.Header["X-Amz-Date"] = []string{date}
	req.Header["X-Amz-Content-Sha256"] = []string{unsignedPayload}
	if value.SessionToken != "" {
		req.Header["X-Amz-Security-Token"] = []string{value.SessionToken}
	}
	canonical := make([]byte, 0, 2<<10)
	canonical = append(canonical, req.Method+"\n"+req.URL.EscapedPath()+"\n\n"...)
	canonical, names := appendHeaders(canonical, req)
	canonical = append(canonical, "\n"+names+"\n"+unsignedPayload...)
	sum := sha256.Sum256(canonical)
	key := s.keyOf(value.SecretAccessKey, date[:8])
	signature := mac(key.key, "AWS4-HMAC-SHA256\n"+date+"\n"+key.scope+"\n"+hex.EncodeToString(sum[:]))
	req.Header["Authorization"] = []string{
		"AWS4-HMAC-SHA256 Credential=" + value.AccessKeyID + "/" + key.scope + ", SignedHeaders=" + names + ", Signature=" + hex.EncodeToString(signature),
	}
}

// appendHeaders adds the headers that are signed, one a line, and gives their names.
func appendHeaders(b []byte, req *http.Request) (_ []byte, names string) {
	type header struct {
		name   string
		values []string
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	signed := append(make([]header, 0, 32), header{"host", []string{host}})
	for name, values := range req.Header {
		if !notSigned[name] {
			signed = append(signed, header{strings.ToLower(name), values})
		}
	}
	slices.SortFunc(signed, func(a, b header) int { return strings.Compare(a.name, b.name) })
	list := make([]byte, 0, 256)
	for i, h := range signed {
		if i > 0 {
			list = append(list, ';')
		}
		list = append(list, h.name...)
		b = append(b, h.name...)
		separator := ":"
		for _, value := range h.values {
			if strings.ContainsFunc(value, unicode.IsSpace) {
				value = strings.Join(strings.Fields(value), " ")
			}
			b = append(append(b, separator...), value...)
			separator = ","
		}
		b = append(b, '\n')
	}
	return b, string(list)
}

// keyOf derives the key of a day, or has it from the request before.
func (s *signer) keyOf(secret, day string) *signingKey {
	if k := s.key.Load(); k != nil && k.day == day && k.secret == secret {
		return k
	}
	k := &signingKey{day: day, secret: secret, scope: day + "/" + s.region + "/s3/aws4_request", key: []byte("AWS4" + secret)}
	for _, part := range []string{day, s.region, "s3", "aws4_request"} {
		k.key = mac(k.key, part)
	}
	s.key.Store(k)
	return k
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
