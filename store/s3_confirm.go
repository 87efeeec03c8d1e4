package store

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// confirmPuts takes a bucket's 200 for a PUT only if it confirms the object. It sits below minio-go, so that an answer that
// confirms nothing is retried and reported like every other error:
//   - Without an ETag nothing was stored, whatever the status says: S3 may send an <Error> body with 200. minio-go would
//     take it for success. It is passed on as a 503.
//   - An ETag that looks like an MD5 but is not the one that we sent means other bytes.
type confirmPuts struct{ next http.RoundTripper }

func (c confirmPuts) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil || req.Method != http.MethodPut || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	etag := strings.Trim(resp.Header.Get("ETag"), `"`)
	if etag == "" {
		resp.StatusCode, resp.Status = http.StatusServiceUnavailable, "503 PUT not confirmed: 200 without an ETag"
		return resp, nil
	}
	got, err := hex.DecodeString(etag)
	want, _ := base64.StdEncoding.DecodeString(req.Header.Get("Content-Md5"))
	if err != nil || len(got) != len(want) || string(got) == string(want) || keyEncrypted(resp.Header) {
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, fmt.Errorf("the bucket confirms an object with MD5 %x where %x was sent", got, want)
}

// keyEncrypted says whether the object is encrypted so that its ETag is not its MD5, though it looks like one.
// Source: Amazon S3 API reference, "Object": ETag.
func keyEncrypted(h http.Header) bool {
	return strings.HasPrefix(h.Get("X-Amz-Server-Side-Encryption"), "aws:kms") ||
		h.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
}
