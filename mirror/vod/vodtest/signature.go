package vodtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const algorithm = "TC3-HMAC-SHA256"

// authorization is what the header Authorization says:
//
//	TC3-HMAC-SHA256 Credential=<id>/<date>/<service>/tc3_request, SignedHeaders=content-type;host, Signature=<hex>
type authorization struct {
	id, date, service string
	headers           []string // in lower case, sorted, with content-type and host
	signature         string
}

func parseAuthorization(header string) (a authorization, ok bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, false
	}
	var values []string
	for i, part := range strings.Split(rest, ",") {
		names := []string{"Credential=", "SignedHeaders=", "Signature="}
		if i == len(names) {
			return a, false
		}
		value, ok := strings.CutPrefix(strings.TrimSpace(part), names[i])
		if !ok {
			return a, false
		}
		values = append(values, value)
	}
	if len(values) != 3 {
		return a, false
	}
	scope := strings.Split(values[0], "/")
	if len(scope) != 4 || scope[3] != "tc3_request" {
		return a, false
	}
	a = authorization{scope[0], scope[1], scope[2], strings.Split(values[1], ";"), values[2]}
	ok = slices.Contains(a.headers, "content-type") && slices.Contains(a.headers, "host") && slices.IsSorted(a.headers) &&
		strings.ToLower(values[1]) == values[1]
	return a, ok
}

// authenticate checks who calls, and that nobody changed the call or sends it again much later.
func (s *Server) authenticate(r *http.Request, body []byte) *fault {
	a, ok := parseAuthorization(r.Header.Get("Authorization"))
	if !ok {
		return faultf("AuthFailure.InvalidAuthorization", "Authorization in the request header doesn't comply with the Tencent Cloud standard.")
	}
	if a.id != s.options.SecretID {
		return faultf("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that your SecretId is correct.")
	}
	timestamp, err := strconv.ParseInt(r.Header.Get("X-TC-Timestamp"), 10, 64)
	if err != nil {
		return faultf("InvalidParameter", "The value type of parameter `Timestamp` is not valid.")
	}
	if off := time.Since(time.Unix(timestamp, 0)); off.Abs() > s.options.Skew {
		return faultf("AuthFailure.SignatureExpire", "Signature expired, timestamp is too far from server time.")
	}
	want, ok := signature(r, body, a.headers, service, timestamp, s.options.SecretKey)
	date := time.Unix(timestamp, 0).UTC().Format(time.DateOnly)
	if !ok || a.service != service || a.date != date || !hmac.Equal([]byte(want), []byte(a.signature)) {
		return faultf("AuthFailure.SignatureFailure", "The provided credentials could not be validated. Please check your signature is correct.")
	}
	if r.Header.Get("X-TC-Token") != s.options.Token {
		return faultf("AuthFailure.TokenFailure", "Token error.")
	}
	return nil
}

// signature computes what a request's signature must be, in the steps of Tencent's "Signature v3". It is not ok where a signed header is
// missing.
func signature(r *http.Request, body []byte, headers []string, service string, timestamp int64, key string) (_ string, ok bool) {
	var canonicalHeaders strings.Builder
	for _, name := range headers {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		if value == "" {
			return "", false
		}
		fmt.Fprintf(&canonicalHeaders, "%s:%s\n", name, strings.ToLower(strings.TrimSpace(value)))
	}
	canonicalRequest := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), r.URL.RawQuery, canonicalHeaders.String(), strings.Join(headers, ";"), hash(body),
	}, "\n")

	date := time.Unix(timestamp, 0).UTC().Format(time.DateOnly)
	scope := date + "/" + service + "/tc3_request"
	toSign := fmt.Sprintf("%s\n%d\n%s\n%s", algorithm, timestamp, scope, hash([]byte(canonicalRequest)))

	derived := mac(mac(mac([]byte("TC3"+key), date), service), "tc3_request")
	return hex.EncodeToString(mac(derived, toSign)), true
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
