package mirror_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// dnsAnswer is what the resolver says of a name: addresses, or a code, or nothing at all.
type dnsAnswer struct {
	addrs  []string
	code   dnsmessage.RCode
	silent bool
}

// startResolver serves DNS on a socket of loopback. answer is asked for each query, with how often the name
// was asked for before.
func startResolver(t *testing.T, answer func(nth int) dnsAnswer) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		asked := map[string]int{}
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if err := query.Unpack(buffer[:n]); err != nil || len(query.Questions) != 1 {
				continue
			}
			q := query.Questions[0]
			key := q.Type.String() + strings.TrimSuffix(strings.ToLower(q.Name.String()), ".") // a lookup asks for both types
			a := answer(asked[key])
			asked[key]++
			if a.silent {
				continue
			}
			reply := dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, RCode: a.code, RecursionAvailable: true}, Questions: query.Questions}
			for _, text := range a.addrs {
				addr := netip.MustParseAddr(text)
				header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}
				switch {
				case addr.Is4() && q.Type == dnsmessage.TypeA:
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
				case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
				}
			}
			if packed, err := reply.Pack(); err == nil {
				_, _ = socket.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

var errWouldDial = errors.New("the policy lets it through; the test goes no farther")

// guarded makes a worker with the policy. What passes it is noted and not connected to, but for the given addresses of the test.
func guarded(t *testing.T, resolver *net.Resolver, ours ...string) (h harness, passed func() []string) {
	var mu sync.Mutex
	var addresses []string
	h = newHarness(t, func(o *mirror.Options) {
		o.AllowPrivateSources = false
		o.Tune(func(d *net.Dialer, _ *http.Transport) {
			policy := d.Control
			d.Resolver = resolver
			d.Control = func(network, address string, c syscall.RawConn) error {
				if slices.Contains(ours, address) {
					return nil
				}
				if err := policy(network, address, c); err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				addresses = append(addresses, address)
				return errWouldDial
			}
		})
	})
	return h, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(addresses)
	}
}

// Names and odd spellings of addresses: whatever the URL says, what is dialled is public. The resolver gives loopback for every name that is
// not in the row, as a library that reads "0177.1" as an address would.
func TestPolicyOnNames(t *testing.T) {
	const public, public6 = "93.184.216.34", "2606:2800:21f:cb07::1"
	tests := []struct {
		url   string
		addrs []string // of the URL's name
		dials []string // what passes, in any order
	}{
		{"http://pictures.test/x.jpg", []string{public}, []string{public + ":80"}},
		{"https://pictures.test/x.jpg", []string{public}, []string{public + ":443"}},
		{"http://PICTURES.TEST./x.jpg", []string{public}, []string{public + ":80"}},
		{"http://pictures.test/x.jpg", []string{public6}, []string{"[" + public6 + "]:80"}},
		{"http://bücher.test/x.jpg", []string{public}, []string{public + ":80"}},
		{"http://" + public + "/x.jpg", nil, []string{public + ":80"}},
		{"http://[" + public6 + "]/x.jpg", nil, []string{"[" + public6 + "]:80"}},
		{"http://[::ffff:" + public + "]/x.jpg", nil, []string{public + ":80"}},
		{"http://pictures.test:8080/x.jpg", []string{public}, nil},
		{"http://pictures.test:22/x.jpg", []string{public}, nil},

		{"http://loop.test/x.jpg", []string{"127.0.0.1"}, nil},
		{"http://loop.test/x.jpg", []string{"::1"}, nil},
		{"http://lan.test/x.jpg", []string{"10.1.2.3"}, nil},
		{"http://lan.test/x.jpg", []string{"192.168.0.1"}, nil},
		{"http://lan.test/x.jpg", []string{"172.20.0.1"}, nil},
		{"http://any.test/x.jpg", []string{"0.0.0.0"}, nil},
		{"http://any.test/x.jpg", []string{"::"}, nil},
		{"http://metadata.test/x.jpg", []string{"169.254.169.254"}, nil},
		{"http://metadata.tencentyun.com/x.jpg", []string{"169.254.0.23"}, nil},
		{"http://metadata.aliyun.test/x.jpg", []string{"100.100.100.200"}, nil},
		{"http://metadata.aws.test/x.jpg", []string{"fd00:ec2::254"}, nil},
		{"http://metadata.azure.test/x.jpg", []string{"168.63.129.16"}, nil},
		{"http://mapped.test/x.jpg", []string{"::ffff:10.0.0.1"}, nil},
		{"http://nat64.test/x.jpg", []string{"64:ff9b::7f00:1"}, nil},
		{"http://6to4.test/x.jpg", []string{"2002:7f00:1::1"}, nil},
		{"http://teredo.test/x.jpg", []string{"2001:0:7f00:1::"}, nil},
		{"http://isatap.test/x.jpg", []string{"2606:2800:21f:cb07:0:5efe:10.0.0.1"}, nil},
		{"http://multicast.test/x.jpg", []string{"224.0.0.251"}, nil},
		{"http://mixed.test/x.jpg", []string{"127.0.0.1", public, "10.0.0.1"}, []string{public + ":80"}},
		{"http://mixed6.test/x.jpg", []string{"::1", public6, "fe80::1"}, []string{"[" + public6 + "]:80"}},

		{"http://localhost/x.jpg", nil, nil},
		{"http://LOCALHOST./x.jpg", nil, nil},
		{"http://127.0.0.1/x.jpg", nil, nil},
		{"http://127.0.0.1./x.jpg", nil, nil},
		{"http://127.1/x.jpg", nil, nil},
		{"http://127.0.1/x.jpg", nil, nil},
		{"http://2130706433/x.jpg", nil, nil},
		{"http://0177.0.0.1/x.jpg", nil, nil},
		{"http://0x7f.0.0.1/x.jpg", nil, nil},
		{"http://0x7f000001/x.jpg", nil, nil},
		{"http://017700000001/x.jpg", nil, nil},
		{"http://127.0.0.01/x.jpg", nil, nil},
		{"http://0/x.jpg", nil, nil},
		{"http://１２７.０.０.１/x.jpg", nil, nil},
		{"http://127。0。0。1/x.jpg", nil, nil},
		{"http://①②⑦.⓪.⓪.①/x.jpg", nil, nil},
		{"http://%31%32%37.0.0.1/x.jpg", nil, nil},
		{"http://[::1]/x.jpg", nil, nil},
		{"http://[0:0:0:0:0:0:0:1]/x.jpg", nil, nil},
		{"http://[::ffff:7f00:1]/x.jpg", nil, nil},
		{"http://[::ffff:127.0.0.1]:80/x.jpg", nil, nil},
		{"http://[::127.0.0.1]/x.jpg", nil, nil},
		{"http://[fe80::1%25lo]/x.jpg", nil, nil},
		{"http://[::1%25lo]/x.jpg", nil, nil},
		{"http://[64:ff9b:1::a9fe:a9fe]/x.jpg", nil, nil},
		{"http://169.254.169.254/latest/meta-data/", nil, nil},
		{"http://2852039166/latest/meta-data/", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			t.Parallel()
			resolver := startResolver(t, func(int) dnsAnswer {
				if test.addrs == nil {
					return dnsAnswer{addrs: []string{"127.0.0.1"}}
				}
				return dnsAnswer{addrs: test.addrs}
			})
			h, passed := guarded(t, resolver)
			r := mustMirror(t, h, mirror.Snapshot{FileID: "1", URL: test.url})
			got := passed()
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, test.dials) {
				t.Errorf("dials %q, want %q", got, test.dials)
			}
			if len(test.dials) == 0 && r.Reason != mirror.SourceBlocked && r.Reason != mirror.BadSnapshot && r.Reason != mirror.SourceUnreachable ||
				r.Reason == mirror.SourceBlocked && r.Attempts != 1 {
				t.Errorf("%s after %d attempts: %v", r.Reason, r.Attempts, r.Err)
			}
		})
	}
}

// A name that is public when it is looked up first, and loopback when it is looked up again, gains nothing.
func TestRebinding(t *testing.T) {
	asked := false
	server := storetest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server, "http://"))
	resolver := startResolver(t, func(nth int) dnsAnswer {
		if nth == 0 {
			return dnsAnswer{addrs: []string{"93.184.216.34"}}
		}
		return dnsAnswer{addrs: []string{"127.0.0.1"}}
	})
	h, passed := guarded(t, resolver)
	r := mustMirror(t, h, mirror.Snapshot{FileID: "1", URL: "http://rebind.test/x.jpg"})
	if got := passed(); !slices.Equal(got, []string{"93.184.216.34:80"}) || r.Reason != mirror.SourceBlocked || r.Attempts != 2 || asked {
		t.Errorf("%s after %d attempts (%v), dialled %q", r.Reason, r.Attempts, r.Err, got)
	}
	if r := mustMirror(t, h, mirror.Snapshot{FileID: "1", URL: "http://rebind.test:" + port + "/x.jpg"}); r.Reason != mirror.SourceBlocked || asked {
		t.Errorf("%s: %v; asked %t", r.Reason, r.Err, asked)
	}
}

// Each hop is judged.
func TestRedirectToPrivate(t *testing.T) {
	asked := false
	inside := storetest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	for _, target := range []string{
		"http://169.254.169.254/latest/meta-data/?sign=SECRET", "http://metadata.test/", inside, "//127.0.0.1/", "http://[fd00:ec2::254]/", "http://inner.test:6379/",
	} {
		front := storetest.Serve(t, status(302, "Location", target))
		resolver := startResolver(t, func(int) dnsAnswer { return dnsAnswer{addrs: []string{"169.254.0.23"}} })
		h, passed := guarded(t, resolver, strings.TrimPrefix(front, "http://"))
		r := mustMirror(t, h, mirror.Snapshot{FileID: "1", URL: front + "/x.jpg"})
		if r.Reason != mirror.SourceBlocked || r.Attempts != 1 || len(passed()) != 0 || asked || strings.Contains(r.Err.Error(), "SECRET") {
			t.Errorf("%s: %s after %d attempts (%v), dialled %q, asked %t", target, r.Reason, r.Attempts, r.Err, passed(), asked)
		}
	}
}

// What a resolver can do to us.
func TestResolverFaults(t *testing.T) {
	for name, answer := range map[string]dnsAnswer{
		"NXDOMAIN": {code: dnsmessage.RCodeNameError}, "SERVFAIL": {code: dnsmessage.RCodeServerFailure}, "no addresses": {},
		"REFUSED": {code: dnsmessage.RCodeRefused}, "silent": {silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := startResolver(t, func(int) dnsAnswer { return answer })
			h := newHarness(t, func(o *mirror.Options) {
				o.SourceRetries, o.AttemptTimeout = 1, 500*time.Millisecond
				o.Tune(func(d *net.Dialer, _ *http.Transport) { d.Resolver = resolver })
			})
			r := mustMirror(t, h, mirror.Snapshot{FileID: "1", URL: "http://pictures.test/x.jpg?sign=SECRET"})
			if r.Reason != mirror.SourceUnreachable || r.Attempts != 2 || strings.Contains(r.Err.Error(), "SECRET") {
				t.Errorf("%s after %d attempts: %v", r.Reason, r.Attempts, r.Err)
			}
		})
	}
}
