package mirror

import (
	"crypto/md5" // Tencent's choice
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Origin says what the origins of pictures want. The zero value asks as anybody would.
type Origin struct {
	// Hosts are the only ones that are asked, redirects included: names, or "*." and a domain for all below it. Empty is any.
	Hosts []string
	// Referer and Header go with each request, and with redirects to the same host. They replace the worker's own.
	Referer string
	Header  http.Header
	// Rewrite gives hosts, as they stand in events, other names; both with a port where it is not the scheme's.
	Rewrite map[string]string
	// HTTPS has http URLs asked for by https.
	HTTPS bool
	// HotlinkKey signs requests as Tencent's key hotlink protection wants it; "" does not. It needs Hosts: whoever gets a
	// signature can use it for the rest of the directory.
	HotlinkKey string
}

// target makes the URL that is asked for from the event's, which has passed Validate.
func (o *Origin) target(raw string, now time.Time) (string, error) {
	if o.untouched() {
		return raw, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", failf(BadSnapshot, "the URL can't be parsed")
	}
	if host, ok := o.Rewrite[strings.ToLower(u.Host)]; ok {
		u.Host = host
	}
	if o.HTTPS && u.Scheme == "http" {
		u.Scheme = "https"
		u.Host = strings.TrimSuffix(u.Host, ":80")
	}
	if err := o.allow(u); err != nil {
		return "", err
	}
	if o.HotlinkKey != "" {
		u.RawQuery = hotlinkQuery(o.HotlinkKey, u, now.Add(hotlinkValid))
	}
	return u.String(), nil
}

func (o *Origin) untouched() bool {
	return len(o.Hosts) == 0 && len(o.Rewrite) == 0 && !o.HTTPS && o.HotlinkKey == ""
}

// allow refuses hosts that are not among Hosts.
func (o *Origin) allow(u *url.URL) error {
	host := strings.ToLower(u.Hostname())
	if len(o.Hosts) == 0 || slices.ContainsFunc(o.Hosts, func(pattern string) bool { return matchHost(pattern, host) }) {
		return nil
	}
	return failf(SourceBlocked, "the source's host %q is not one of --source-host", clip(host, 80))
}

// matchHost says whether a name is the pattern's, or below it where it begins with "*.".
func matchHost(pattern, host string) bool {
	pattern = strings.ToLower(pattern)
	if domain, wild := strings.CutPrefix(pattern, "*."); wild {
		return strings.HasSuffix(host, "."+domain)
	}
	return host == pattern
}

// dress adds the headers.
func (o *Origin) dress(h http.Header) {
	maps.Copy(h, o.Header)
	if o.Referer != "" {
		h.Set("Referer", o.Referer)
	}
}

// redirected keeps the headers from other hosts than the first: they may be secrets.
func (o *Origin) redirected(req, first *http.Request) error {
	// net/http sets it to the URL before, whose query may be a signature
	req.Header.Del("Referer")
	if req.URL.Host == first.URL.Host {
		o.dress(req.Header)
		return nil
	}
	for name := range o.Header {
		req.Header.Del(name)
	}
	return o.allow(req.URL)
}

// hotlinkValid is how long a signature is good for: a request and its retries.
const hotlinkValid = 10 * time.Minute

// hotlinkParameters are those of the protection, in their order.
var hotlinkParameters = []string{"t", "exper", "rlimit", "us", "whref", "bkref", "whreg", "bkreg", "sign"}

// hotlinkQuery signs for the directory of the URL's path until a time. What the URL has of an older signature is replaced, and
// other parameters stay. Source: Tencent Cloud VOD documentation, product 266, page 14047.
func hotlinkQuery(key string, u *url.URL, until time.Time) string {
	path := u.EscapedPath()
	t := strconv.FormatInt(until.Unix(), 16)
	query := fmt.Sprintf("t=%s&sign=%s", t, hotlinkSign(key, path[:strings.LastIndexByte(path, '/')+1], t))
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		if part != "" && !slices.Contains(hotlinkParameters, name) {
			query += "&" + part
		}
	}
	return query
}

// hotlinkSign is the signature over a directory, with both its slashes, and the parameters that are sent, in their order.
func hotlinkSign(key, dir string, parameters ...string) string {
	sum := md5.Sum([]byte(key + dir + strings.Join(parameters, "")))
	return hex.EncodeToString(sum[:])
}
