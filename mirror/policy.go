package mirror

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
)

// An event is a stranger's text that makes us connect somewhere. The policy is decided when the connection is dialled, on
// the address that is really used, so a name that resolves differently the second time gains nothing.

// specialPrefixes are the address blocks that are not public unicast beyond those that net/netip already knows.
// Source: IANA's IPv4 and IPv6 Special-Purpose Address Registries, as of 2026; code.dny.dev/ssrf v0.3.0, generated from them, has the same.
var specialPrefixes = func() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
		"168.63.129.16/32", // Azure's metadata and DNS for its machines, though it looks public
		"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		// IPv6 outside 2000::/3 is refused as a whole below; these are the exceptions inside it.
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

var globalIPv6 = netip.MustParsePrefix("2000::/3")

// publicAddr says whether a is an ordinary public unicast address. IPv4 inside IPv6 counts as what it leads to, or is refused.
func publicAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || (a.Is6() && (!globalIPv6.Contains(a) || isatap(a))) {
		return false
	}
	return !slices.ContainsFunc(specialPrefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isatap says whether the address leads, by a tunnel, to the IPv4 address in its last four bytes. Source: RFC 5214, section 6.1.
func isatap(a netip.Addr) bool {
	b := a.As16()
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// publicOnly is a net.Dialer's Control: it lets through public addresses on ports 80 and 443.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return failf(SourceBlocked, "dialling an address that is not host:port")
	}
	if !publicAddr(ap.Addr()) {
		return failf(SourceBlocked, "the source's address %s is not public (see --allow-private-sources)", ap.Addr().WithZone(""))
	}
	if ap.Port() != 80 && ap.Port() != 443 {
		return failf(SourceBlocked, "the source's port %d is not 80 or 443", ap.Port())
	}
	return nil
}

// publicURL judges what a proxy is asked for, as far as it can be seen from here: the port, and an address in place of a name.
func publicURL(u *url.URL) error {
	if port := u.Port(); port != "" && port != "80" && port != "443" {
		return failf(SourceBlocked, "the source's port %s is not 80 or 443", clip(port, 8))
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !publicAddr(a) {
		return failf(SourceBlocked, "the source's address %s is not public (see --allow-private-sources)", a.WithZone(""))
	}
	return nil
}

const maxRedirects = 3

// checkRedirect is a http.Client's: few hops, to hosts that are allowed, and never from https down to http.
func (o *Origin) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return failf(SourceUnreachable, "more than %d redirects", maxRedirects)
	}
	if err := o.redirected(req, via[0]); err != nil {
		return err
	}
	switch from, to := via[len(via)-1].URL, req.URL; {
	case to.Scheme != "http" && to.Scheme != "https", to.User != nil:
		return failf(SourceBlocked, "redirected to a URL that is not allowed")
	case from.Scheme == "https" && to.Scheme == "http":
		return failf(SourceBlocked, "redirected from https to http, on host %q", clip(net.JoinHostPort(to.Hostname(), to.Port()), 80))
	}
	return nil
}
