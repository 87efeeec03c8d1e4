package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// access decides what a request may do.
type access struct {
	// auth is "user:password" for Basic, or a token for Bearer, which a browser may also send as the password of any user. ""
	// lets nobody in from other machines, except for looking.
	auth string
	// hosts are names by which the address is rightly called, beside those of this machine and plain addresses.
	hosts []string
}

// right is what a request may do; each includes those before it.
type right int

const (
	// nothing but health and metrics.
	nothing right = iota
	// look at the page, which shows no URL's query.
	look
	// change what will be mirrored, and get lists with whole URLs.
	change
	// ours: it comes from this machine, and may look into the process.
	ours
)

// of judges by the connection's own address and by the name that the address was called. A page of another site can have its own
// name point here ("DNS rebinding"), and then a visitor's browser asks in its behalf: with a name that is not ours, at most
// looking is allowed, and only to whoever authenticates.
func (a access) of(r *http.Request) right {
	authenticated, named := a.authenticated(r), a.named(r.Host)
	switch {
	case fromHere(r):
		return ours
	case authenticated && named:
		return change
	case authenticated, a.auth == "" && named:
		return look
	}
	return nothing
}

// fromHere says whether a request comes from this machine and means it. One that a proxy on this machine passes on is whoever's.
func fromHere(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback() && loopbackHost(r.Host) && !forwarded(r.Header)
}

// forwarded is about headers that proxies add. They take rights away and never give any: anybody can write them.
func forwarded(h http.Header) bool {
	return slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}, func(name string) bool { return len(h[name]) > 0 })
}

func (a access) authenticated(r *http.Request) bool {
	if a.auth == "" {
		return false
	}
	user, password, basic := r.BasicAuth()
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if strings.Contains(a.auth, ":") {
		return basic && same(user+":"+password, a.auth)
	}
	return bearer && same(token, a.auth) || basic && same(password, a.auth)
}

// same compares in constant time, whatever the lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// named says whether the host of a request is one of this machine's names, an address or a name that was configured.
func (a access) named(host string) bool {
	name := hostname(host)
	_, err := netip.ParseAddr(name)
	return err == nil || name == "localhost" || slices.ContainsFunc(a.hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

func loopbackHost(host string) bool {
	name := hostname(host)
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// require lets through what has the right.
func (a access) require(need right, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has := a.of(r)
		if has >= need {
			next.ServeHTTP(w, r)
			return
		}
		switch {
		case need == ours:
			http.Error(w, "only for this machine: ask 127.0.0.1", http.StatusForbidden)
		case a.auth != "" && !a.authenticated(r):
			w.Header().Add("WWW-Authenticate", `Basic realm="snapshot-mirror", charset="UTF-8"`)
			if !strings.Contains(a.auth, ":") {
				w.Header().Add("WWW-Authenticate", "Bearer")
			}
			http.Error(w, "authentication is needed: see --admin-auth", http.StatusUnauthorized)
		case a.named(r.Host):
			http.Error(w, "only for this machine (ask 127.0.0.1), or with --admin-auth", http.StatusForbidden)
		default:
			http.Error(w, "this address is not known by that name: ask 127.0.0.1, or see --admin-host", http.StatusForbidden)
		}
	})
}
