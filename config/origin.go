package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Hosts are written like pictures.example.com,*.vod2.myqcloud.com.
type Hosts []string

// UnmarshalText reads the written form.
func (h *Hosts) UnmarshalText(text []byte) error {
	*h = nil
	for part := range strings.SplitSeq(string(text), ",") {
		part = strings.TrimSpace(part)
		if !validHost(part) {
			return fmt.Errorf("%q is not a host: write it like pictures.example.com or *.example.com", part)
		}
		*h = append(*h, part)
	}
	return nil
}

// validHost says whether a host, or a pattern "*." and a domain, can match anything.
func validHost(pattern string) bool {
	name := strings.TrimPrefix(pattern, "*.")
	if net.ParseIP(name) != nil {
		return name == pattern
	}
	return name != "" && strings.Trim(name, letters+digits+".-_") == "" && !strings.HasPrefix(name, ".")
}

// Rewrites are written OLD=NEW,OLD=NEW: hosts, with ports where they are not the scheme's.
type Rewrites map[string]string

// UnmarshalText reads the written form.
func (r *Rewrites) UnmarshalText(text []byte) error {
	*r = Rewrites{}
	for part := range strings.SplitSeq(string(text), ",") {
		from, to, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found || !hostPort(from) || !hostPort(to) {
			return fmt.Errorf("%q is not OLD=NEW, two hosts", part)
		}
		(*r)[strings.ToLower(from)] = to
	}
	return nil
}

func hostPort(s string) bool {
	host, port, found := strings.Cut(s, ":")
	return validHost(host) && !strings.HasPrefix(host, "*") && (!found || port != "" && strings.Trim(port, digits) == "")
}

// ProxyURL names a proxy. It may hold a password and is not printed.
type ProxyURL struct{ url *url.URL }

// UnmarshalText reads the written form.
func (p *ProxyURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("a proxy must be written like http://HOST:PORT") // err would quote the password
	}
	switch u.Scheme {
	case "http", "https", "socks5":
	default:
		return fmt.Errorf("a proxy can't be asked by %q: write http, https or socks5", u.Scheme)
	}
	p.url = u
	return nil
}

// Reveal gives the URL itself, nil for no proxy.
func (p ProxyURL) Reveal() *url.URL { return p.url }

func (p ProxyURL) String() string {
	if p.url == nil {
		return ""
	}
	return hidden
}

// GoString and MarshalText hide the password.
func (p ProxyURL) GoString() string { return p.String() }

// MarshalText hides the password.
func (p ProxyURL) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Headers are written as in HTTP, "Name: value", several with line breaks between. Their values may be secrets and are not printed.
type Headers struct{ header http.Header }

// UnmarshalText reads the written form.
func (h *Headers) UnmarshalText(text []byte) error {
	h.header = http.Header{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		name, value, found := strings.Cut(line, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !found || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return errors.New("a header must be written like Name: value")
		case notOurs[name]:
			return fmt.Errorf("the header %s can't be set", name)
		}
		h.header.Add(name, value)
	}
	return nil
}

// notOurs are headers that decide how a message is framed or what its length proves.
var notOurs = map[string]bool{
	"Accept-Encoding": true, "Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Range": true, "If-None-Match": true, "If-Range": true,
	"If-Modified-Since": true, "If-Match": true, "If-Unmodified-Since": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// Reveal gives the headers themselves.
func (h Headers) Reveal() http.Header { return h.header }

func (h Headers) String() string {
	if len(h.header) == 0 {
		return ""
	}
	return hidden
}

// GoString and MarshalText hide the values.
func (h Headers) GoString() string { return h.String() }

// MarshalText hides the values.
func (h Headers) MarshalText() ([]byte, error) { return []byte(h.String()), nil }
