package mirror

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func TestPublicAddr(t *testing.T) {
	public := []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "43.152.0.1", "100.63.255.255", "100.128.0.0", "126.0.0.1", "128.0.0.1",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
		"203.0.112.255", "223.255.255.255", "168.63.129.15", "2400:3200::1", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8",
	}
	private := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.1.2.3", "169.254.0.1",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::a00:1", "64:ff9b::8.8.8.8",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:a00:1::1", "2002:7f00:1::",
		"2620:4f:8000::1", "3fff::1", "2606:4700::5efe:a00:1", "2606:4700::200:5efe:808:808", "168.63.129.16", "169.254.0.23", "100.100.100.200", "fd20:ce::254", "192.0.0.192", "::10.0.0.1", "::ffff:0.0.0.0", "64:ff9b::169.254.169.254", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
	}
	for want, addresses := range map[bool][]string{true: public, false: private} {
		for _, a := range addresses {
			if got := publicAddr(netip.MustParseAddr(a)); got != want {
				t.Errorf("%s: public %t, want %t", a, got, want)
			}
		}
	}
}

func TestPublicOnly(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8:80": true, "8.8.8.8:443": true, "[2606:4700::1]:443": true, "8.8.8.8:8080": false, "8.8.8.8:22": false, "127.0.0.1:80": false,
		"[::1]:443": false, "nonsense": false,
	} {
		if err := publicOnly("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %t", address, err, want)
		}
	}
}

// With a proxy, the port and an address in place of a name can be judged here, and the proxy is not the environment's.
func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var asked []string
	proxy := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		_, _ = io.WriteString(w, jpegText)
	}))
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(sink{}, Options{Proxy: u, Origin: Origin{Hosts: []string{"*.test", "127.0.0.1", "8.8.8.8"}}})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]Reason{
		"http://pictures.test/x.jpg": "", "http://8.8.8.8:80/x.jpg": "", "http://127.0.0.1/x.jpg": SourceBlocked, "http://pictures.test:6379/x.jpg": SourceBlocked,
		"http://elsewhere/x.jpg": SourceBlocked,
	} {
		asked = nil
		r, err := w.Mirror(t.Context(), Snapshot{FileID: "1", URL: target})
		if err != nil || r.Reason != want || (len(asked) == 1) != (want == "") {
			t.Errorf("%s: %s (%v), the proxy was asked for %q", target, r.Reason, r.Err, asked)
		}
	}
}

// Over a real socket: the policy is asked when the connection is dialled, and its answer is final.
func TestPolicyBlocks(t *testing.T) {
	asked := false
	origin := storetest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	dir, err := store.OpenDir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	worker, err := New(dir, Options{SourceRetries: 2})
	if err != nil {
		t.Fatal(err)
	}
	r, err := worker.Mirror(t.Context(), Snapshot{FileID: "1", URL: origin})
	if err != nil || r.Reason != SourceBlocked || r.Attempts != 1 || asked {
		t.Errorf("%+v (%v), asked %t; want source_blocked at the first attempt", r, err, asked)
	}
}
