package intake

import (
	"bytes"
	"crypto/md5" // VOD's choice
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Auth is how a [Callback] knows that an event comes from VOD. Each method may be left out; every one that is configured must
// pass. Neither answers nor logs hold any of the secrets.
type Auth struct {
	// SignKeys are the keys of VOD's signature; any of them will do, so that a key can be changed without a gap. An empty one
	// passes nothing. The signature is Sign = hex(MD5(key + T)), where T is its expiry in UNIX seconds, in the URL's query or
	// at the top level of the body's first JSON object. It says who sends, not what: the body is not covered.
	// Source: SignKey in Tencent's SDK, which does not say where the two stand.
	SignKeys []string
	// User and Password are those of HTTP Basic, asked for when either is set.
	User, Password string
	// PathSecret is one path segment that must follow the callback's Path.
	PathSecret string
	// Networks are where clients may be, judged by the connection's own address and never by what a header says of it: behind
	// a proxy, that is the proxy's. IPv4 addresses in IPv6 form are IPv4 addresses.
	Networks []netip.Prefix
}

// Limits on a signature's expiry. VOD signs for ten minutes unless told otherwise.
const (
	signSkew = time.Minute
	signMax  = 24 * time.Hour
)

// Configured says whether any method is.
func (a Auth) Configured() bool {
	return len(a.SignKeys) > 0 || a.basic() || a.PathSecret != "" || len(a.Networks) > 0
}

func (a Auth) basic() bool { return a.User != "" || a.Password != "" }

// denial is what a request lacks, for the log; "" is nothing. Clients are not told.
type denial string

const (
	wrongNetwork denial = "network"
	wrongBasic   denial = "basic"
	wrongPath    denial = "path"
	wrongSign    denial = "sign"
	expiredSign  denial = "sign's time"
)

// head judges what can be known before the body is read. pathSecret is what follows the callback's path.
func (a Auth) head(r *http.Request, pathSecret string) denial {
	// All are looked at, whatever the others say, so that the time of an answer tells nothing.
	pathOK := a.PathSecret == "" || same(pathSecret, a.PathSecret)
	user, password, _ := r.BasicAuth()
	userOK, passwordOK := same(user, a.User), same(password, a.Password)
	switch {
	case !a.inNetworks(r.RemoteAddr):
		return wrongNetwork
	case a.basic() && !(userOK && passwordOK):
		return wrongBasic
	case !pathOK:
		return wrongPath
	}
	return ""
}

// same compares in constant time, whatever the lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func (a Auth) inNetworks(remote string) bool {
	if len(a.Networks) == 0 {
		return true
	}
	client, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := client.Addr().Unmap().WithZone("")
	for _, network := range a.Networks {
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		if network.Masked().Contains(addr) {
			return true
		}
	}
	return false
}

// sign judges the signature. One in the query that passes is enough; what else is called T there must not hide the body's.
func (a Auth) sign(r *http.Request, body []byte, now time.Time) denial {
	if len(a.SignKeys) == 0 {
		return ""
	}
	query := r.URL.Query()
	inQuery := a.verify(query.Get("Sign"), query.Get("T"), now)
	if inQuery == "" {
		return ""
	}
	sign, t := signOf(body)
	if sign == "" {
		return inQuery
	}
	return a.verify(sign, t, now)
}

// signOf takes Sign and T, a string or a number, from the top level of the body.
func signOf(body []byte) (sign, t string) {
	var top struct {
		Sign string
		T    json.RawMessage
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&top); err != nil {
		return "", ""
	}
	if json.Unmarshal(top.T, &t) != nil {
		t = string(top.T)
	}
	return top.Sign, t
}

func (a Auth) verify(sign, t string, now time.Time) denial {
	// T must be digits and nothing else: MD5 lets anybody who has seen one signature extend what was signed, but only by bytes
	// that are no digits.
	expiry, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return wrongSign
	}
	given, err := hex.DecodeString(sign)
	if err != nil {
		return wrongSign
	}
	passed := 0
	for _, key := range a.SignKeys {
		if key == "" {
			continue
		}
		want := md5.Sum([]byte(key + t))
		passed |= subtle.ConstantTimeCompare(given, want[:])
	}
	switch {
	case passed == 0:
		return wrongSign
	case expiry < now.Add(-signSkew).Unix(), expiry > now.Add(signMax).Unix():
		return expiredSign
	}
	return ""
}
