package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/config"
)

// Every secret in these tests begins like this.
const hush = "hush"

// wantSays compares an error with a piece of its message, "" for no error, and looks for secrets in it.
func wantSays(t *testing.T, name string, err error, want string) {
	t.Helper()
	if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want %q", name, err, want)
	}
	if err != nil && strings.Contains(err.Error(), hush) {
		t.Errorf("%s: a secret is in the message: %v", name, err)
	}
}

func networks(t *testing.T, text string) (n config.Networks) {
	t.Helper()
	if err := n.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCallbackSettings(t *testing.T) {
	secret := config.NewSecret
	for _, test := range []struct {
		name  string
		spoil func(*config.Callback)
		want  string
	}{
		{"default", func(*config.Callback) {}, ""},
		{"no port", func(c *config.Callback) { c.Listen = "127.0.0.1" }, `--listen: "127.0.0.1" is not HOST:PORT`},
		{"a list of keys", func(c *config.Callback) {
			c.Listen, c.SignKey = "0.0.0.0:8080", config.SecretList{secret(hush + "1"), secret(hush + "2")}
		}, ""},
		{"Basic", func(c *config.Callback) {
			c.Listen, c.CallbackUser, c.CallbackPassword = ":8080", "vod", secret(hush)
		}, ""},
		{"secret", func(c *config.Callback) { c.Listen, c.CallbackSecret = "10.0.0.1:8080", secret(hush) }, ""},
		{"networks", func(c *config.Callback) { c.Listen, c.AllowFrom = "[::]:8080", networks(t, "10.0.0.0/8") }, ""},
		{"open and meant", func(c *config.Callback) { c.Listen, c.AllowUnauthenticated = ":8080", true }, ""},
		{"open", func(c *config.Callback) { c.Listen = "0.0.0.0:8080" }, "--listen 0.0.0.0:8080 can be reached from other machines"},
		{"open to a name", func(c *config.Callback) { c.Listen = "host:8080" }, "can be reached from other machines"},
		{"empty secrets are none", func(c *config.Callback) {
			c.Listen, c.CallbackPassword, c.CallbackSecret = ":8080", secret(""), secret("")
		}, "can be reached from other machines"},
		{"root", func(c *config.Callback) { c.CallbackPath = "/" }, ""},
		{"no path", func(c *config.Callback) { c.CallbackPath = "" }, `--callback-path is ""`},
		{"path without slash", func(c *config.Callback) { c.CallbackPath = "callback" }, `--callback-path is "callback", it must begin with a slash`},
		{"a query in the path", func(c *config.Callback) { c.CallbackPath = "/callback?a=b" }, "nothing but a path"},
		{"a fragment in the path", func(c *config.Callback) { c.CallbackPath = "/callback#a" }, "nothing but a path"},
		{"a blank in the path", func(c *config.Callback) { c.CallbackPath = "/callback " }, "nothing but a path"},
		{"an escape in the path", func(c *config.Callback) { c.CallbackPath = "/call%20back" }, "nothing but a path"},
		{"an escape in the secret", func(c *config.Callback) { c.CallbackSecret = secret(hush + "%20") }, "--callback-secret must not hold"},
		{"a slash in the secret", func(c *config.Callback) { c.CallbackSecret = secret(hush + "/1") }, "--callback-secret must not hold slashes"},
		{"a query in the secret", func(c *config.Callback) { c.CallbackSecret = secret(hush + "?1") }, "--callback-secret must not hold"},
		{"a fragment in the secret", func(c *config.Callback) { c.CallbackSecret = secret(hush + "#1") }, "--callback-secret must not hold"},
		{"a blank in the secret", func(c *config.Callback) { c.CallbackSecret = secret(hush + " 1") }, "--callback-secret must not hold"},
		{"user alone", func(c *config.Callback) { c.CallbackUser = "vod" }, "set --callback-user and --callback-password, or neither"},
		{"password alone", func(c *config.Callback) { c.CallbackPassword = secret(hush) }, "set --callback-user and --callback-password, or neither"},
		{"password alone, elsewhere", func(c *config.Callback) {
			c.Listen, c.CallbackPassword = ":8080", secret(hush)
		}, "set --callback-user and --callback-password, or neither"},
		{"smallest event", func(c *config.Callback) { c.MaxEventSize = 1 << 10 }, ""},
		{"largest event", func(c *config.Callback) { c.MaxEventSize = 16 << 20 }, ""},
		{"no event", func(c *config.Callback) { c.MaxEventSize = 0 }, "--max-event-size is 0 B, it must be 1 KiB to 16 MiB"},
		{"too small", func(c *config.Callback) { c.MaxEventSize = 1<<10 - 1 }, "--max-event-size is 1023 B"},
		{"too large", func(c *config.Callback) { c.MaxEventSize = 16<<20 + 1 }, "--max-event-size is"},
	} {
		c := config.Callback{Listen: "127.0.0.1:8080", CallbackPath: "/callback", MaxEventSize: 4 << 20}
		test.spoil(&c)
		wantSays(t, test.name, c.Validate(), test.want)
	}
}

func TestNATSSettings(t *testing.T) {
	const needsAddress, alone = "--nats must be addresses like nats://HOST:4222", "say nothing without --nats"
	const name, replicas, pair = "only letters, digits, - and _", "it must be 0 to 5", "set --nats-cert and --nats-key, or neither"
	for _, test := range []struct {
		name string
		n    config.NATS // without a queue's name, it gets the default
		want string
	}{
		{"default", config.NATS{}, ""},
		{"one", config.NATS{NATS: "nats://nats-1:4222"}, ""},
		{"several", config.NATS{NATS: "nats://nats-1:4222, tls://nats-2:4222,nats://[::1]:4222", NATSReplicas: 5}, ""},
		{"default port", config.NATS{NATS: "nats://nats-1"}, ""},
		{"a password", config.NATS{NATS: "nats://me:" + hush + "@nats-1:4222"}, ""},
		{"credentials", config.NATS{NATS: "tls://n:1", NATSCreds: "c", NATSCA: "a", NATSCert: "b", NATSKey: "k"}, ""},
		{"no scheme", config.NATS{NATS: "nats-1:4222"}, needsAddress},
		{"another scheme", config.NATS{NATS: "http://me:" + hush + "@nats-1:4222"}, needsAddress},
		{"no host", config.NATS{NATS: "nats://"}, needsAddress},
		{"no host, but a port", config.NATS{NATS: "nats://:4222"}, needsAddress},
		{"no URL", config.NATS{NATS: "nats://me:" + hush + "@nats 1:4222"}, needsAddress},
		{"no port", config.NATS{NATS: "nats://me:" + hush + "@nats-1:port"}, needsAddress},
		{"the second is wrong", config.NATS{NATS: "nats://nats-1:4222,me:" + hush + "@nats-2"}, needsAddress},
		{"nothing behind the comma", config.NATS{NATS: "nats://nats-1:4222,"}, needsAddress},
		{"blank", config.NATS{NATS: " "}, needsAddress},
		{"credentials for nobody", config.NATS{NATSCreds: "c"}, alone},
		{"authority for nobody", config.NATS{NATSCA: "c"}, alone},
		{"certificate for nobody", config.NATS{NATSCert: "c", NATSKey: "k"}, alone},
		{"certificate without key", config.NATS{NATS: "tls://n:1", NATSCert: "c"}, pair},
		{"key without certificate", config.NATS{NATS: "tls://n:1", NATSKey: "c"}, pair},
		{"negative replicas", config.NATS{NATSReplicas: -1}, replicas},
		{"too many replicas", config.NATS{NATSReplicas: 6}, replicas},
		{"another queue", config.NATS{QueueName: "Snapshots_2-b"}, ""},
		{"longest name", config.NATS{QueueName: strings.Repeat("a", 64)}, ""},
		{"name too long", config.NATS{QueueName: strings.Repeat("a", 65)}, name},
		{"dot in the name", config.NATS{QueueName: "a.b"}, name}, // it would be another token of a subject
		{"wildcard in the name", config.NATS{QueueName: "a>b"}, name},
		{"blank in the name", config.NATS{QueueName: "a b"}, name},
		{"slash in the name", config.NATS{QueueName: "../a"}, name}, // it names a directory too
		{"no ASCII", config.NATS{QueueName: "aéb"}, name},
	} {
		if test.n.QueueName == "" {
			test.n.QueueName = "SNAPSHOTS"
		}
		wantSays(t, test.name, test.n.Validate(), test.want)
	}
	wantSays(t, "no name", config.NATS{}.Validate(), `--queue-name is ""`)
}

func TestQueueSettings(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*config.Queue)
		want  string
	}{
		{"default", func(*config.Queue) {}, ""},
		{"shortest", func(q *config.Queue) {
			q.RetryMin, q.RetryMax, q.GiveUpAfter = 100*time.Millisecond, 100*time.Millisecond, time.Millisecond
		}, ""},
		{"longest", func(q *config.Queue) { q.RetryMin, q.RetryMax, q.GiveUpAfter = 24*time.Hour, 24*time.Hour, 1<<62 }, ""},
		{"too soon", func(q *config.Queue) { q.RetryMin = 99 * time.Millisecond }, "--retry-min is 99ms and --retry-max 1h0m0s"},
		{"negative", func(q *config.Queue) { q.RetryMin, q.RetryMax = -time.Second, -time.Second }, "--retry-min is -1s"},
		{"wrong order", func(q *config.Queue) { q.RetryMin = 2 * time.Hour }, "in this order"},
		{"too late", func(q *config.Queue) { q.RetryMax = 24*time.Hour + 1 }, "100ms to 24h"},
		{"give up at once", func(q *config.Queue) { q.GiveUpAfter = 0 }, "--give-up-after is 0s, it must be 1ms or more"},
		{"its NATS", func(q *config.Queue) { q.NATS.NATS = "nats-1:4222" }, "--nats must be addresses"},
	} {
		q := config.Queue{NATS: config.NATS{QueueName: "SNAPSHOTS"}, RetryMin: 10 * time.Second, RetryMax: time.Hour, GiveUpAfter: 24 * time.Hour}
		test.spoil(&q)
		wantSays(t, test.name, q.Validate(), test.want)
	}
}

func TestServeSettings(t *testing.T) {
	const wrongAuth = "--admin-auth must be user:password or a token, of letters, digits and signs; password or token of 8 characters or more"
	for _, test := range []struct {
		name string
		s    config.Serve
		want string
	}{
		{"default", config.Serve{AdminListen: "127.0.0.1:9090", Drain: 30 * time.Second}, ""},
		{"health for everybody", config.Serve{AdminListen: ":9090"}, ""},
		{"no port", config.Serve{AdminListen: "127.0.0.1"}, `--admin-listen: "127.0.0.1" is not HOST:PORT`},
		{"no address", config.Serve{}, `--admin-listen: "" is not HOST:PORT`},
		{"Basic", config.Serve{AdminListen: ":9090", AdminAuth: config.NewSecret("ada:secret12"), AdminHost: config.Hosts{"mirror.example.com"}}, ""},
		{"a token", config.Serve{AdminListen: ":9090", AdminAuth: config.NewSecret("0123456789abcdef")}, ""},
		{"a short password", config.Serve{AdminListen: ":9090", AdminAuth: config.NewSecret("ada:secret1")}, wrongAuth},
		{"a short token", config.Serve{AdminListen: ":9090", AdminAuth: config.NewSecret("secret1")}, wrongAuth},
		{"no user", config.Serve{AdminListen: ":9090", AdminAuth: config.NewSecret(":secret12")}, wrongAuth},
		{"a blank", config.Serve{AdminListen: ":9090", AdminAuth: config.NewSecret("ada:secret 12")}, wrongAuth},
		{"a pattern", config.Serve{AdminListen: ":9090", AdminHost: config.Hosts{"a.example", "*.b.example"}}, "--admin-host must be whole names: whoever has one below a domain could act for its users"},
		{"negative drain", config.Serve{AdminListen: "127.0.0.1:9090", Drain: -1}, "--drain is -1ns, it can't be negative"},
	} {
		wantSays(t, test.name, test.s.Validate(), test.want)
	}
}

// A first run needs no settings.
func TestServeDefaults(t *testing.T) {
	s, err := load(t, nil, "")
	wantSays(t, "settings", err, "")
	wantSays(t, "callback", s.Callback.Validate(), "")
	wantSays(t, "queue", s.Queue.Validate(), "")
	wantSays(t, "serve", s.Serve.Validate(), "")
	if s.AllowUnauthenticated || s.Authenticated() || s.PProf {
		t.Errorf("%+v %+v", s.Callback, s.Serve)
	}
}

// Wrongly taken for loopback, an address would be open to everybody without a warning.
func TestLoopback(t *testing.T) {
	for _, test := range []struct {
		address string
		want    bool
		err     bool
	}{
		{"127.0.0.1:8080", true, false},
		{"127.0.0.1:0", true, false},
		{"127.8.8.8:65535", true, false},
		{"[::1]:8080", true, false},
		{"[::ffff:127.0.0.1]:1", true, false},
		{"localhost:8080", true, false},
		{":8080", false, false},
		{"0.0.0.0:1", false, false},
		{"[::]:1", false, false},
		{"10.0.0.1:1", false, false},
		{"[::ffff:10.0.0.1]:1", false, false},
		{"[2001:db8::1]:1", false, false},
		{"host:1", false, false},
		{"localhost.example.com:1", false, false},
		{"127.0.0.1.example.com:1", false, false},
		{"", false, true},
		{"host", false, true},
		{"127.0.0.1", false, true},
		{"::1", false, true},
		{"[::1]", false, true},
		{"127.0.0.1:", false, true},
		{"host:port", false, true},
		{"127.0.0.1:http", false, true},
		{"127.0.0.1:99999", false, true},
		{"127.0.0.1:-1", false, true},
		{"127.0.0.1:+1", false, true},
		{"127.0.0.1:80:80", false, true},
		{"http://127.0.0.1:80", false, true},
	} {
		got, err := config.Loopback(test.address)
		if got != test.want || (err != nil) != test.err {
			t.Errorf("%q: %v, %v, want %v, an error: %v", test.address, got, err, test.want, test.err)
		}
		if err != nil && err.Error() != fmt.Sprintf("%q is not HOST:PORT", test.address) {
			t.Errorf("%q: %v", test.address, err)
		}
	}
}

func TestNetworks(t *testing.T) {
	for _, test := range []struct{ in, want, err string }{
		{"10.0.0.0/8", "[10.0.0.0/8]", ""},
		{"10.0.0.0/8,192.0.2.7", "[10.0.0.0/8 192.0.2.7/32]", ""},
		{" 10.0.0.0/8 , 2001:db8::/32 ", "[10.0.0.0/8 2001:db8::/32]", ""},
		{"::1", "[::1/128]", ""},
		{"10.1.2.3/8", "[10.0.0.0/8]", ""},
		{"", "", `"" is not a network: write it like 10.0.0.0/8`},
		{"10.0.0.0/8,", "", `"" is not a network`}, // nothing must not become everything
		{"10.0.0.0/33", "", `"10.0.0.0/33" is not a network`},
		{"10.0.0.0/8 192.0.2.7", "", "is not a network"},
		{"192.0.2.7,host", "", `"host" is not a network`},
		{"10.0.0", "", `"10.0.0" is not a network`},
		{"fe80::1%eth0", "", "is not a network"},
		{"fe80::%eth0/64", "", "is not a network"}, // a zone may hold a slash: it would be one address
		{"10.0.0.1:80", "", `"10.0.0.1:80" is not a network`},
	} {
		got := networks(t, "::/0") // must not stay beside what is read later
		err := got.UnmarshalText([]byte(test.in))
		wantSays(t, test.in, err, test.err)
		if text := fmt.Sprint(got); err == nil && text != test.want {
			t.Errorf("%q: %s, want %s", test.in, text, test.want)
		}
	}
}

// Read as they are in a running program: a flag's keys do not join those of the environment, which may be the ones to get rid of.
func TestSecretList(t *testing.T) {
	const variable, flag = "SNAPSHOT_MIRROR_SIGN_KEY=", "--sign-key="
	for _, test := range []struct {
		env, args []string
		want      []string
		err       string
	}{
		{nil, nil, []string{}, ""},
		{[]string{variable + hush}, nil, []string{hush}, ""},
		{[]string{variable + "hush1,hush2"}, nil, []string{"hush1", "hush2"}, ""},
		{[]string{variable + "hush1,hush2"}, []string{flag + "hush3"}, []string{"hush3"}, ""},
		{nil, []string{flag + "hush1", flag + "hush2"}, []string{"hush2"}, ""},
		{nil, []string{flag + `hush\/=+:`}, []string{`hush\/=+:`}, ""},
		{nil, []string{flag + "hush1, hush2"}, []string{"hush1", "hush2"}, ""},
		{nil, []string{flag}, nil, "an empty key is none"},
		{nil, []string{flag + "hush1, "}, nil, "an empty key is none"},
		{nil, []string{flag + "hush1,"}, nil, "an empty key is none"},
		{[]string{variable + "hush1,,hush2"}, nil, nil, "an empty key is none"},
	} {
		name := fmt.Sprint(test.env, test.args)
		s, err := load(t, test.env, "", test.args...)
		wantSays(t, name, err, test.err)
		if diff := cmp.Diff(test.want, s.SignKey.Reveal()); err == nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %q", s.SignKey, s.SignKey, s.SignKey, s.SignKey, s.SignKey); strings.Contains(text, hush) {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestShardForms(t *testing.T) {
	for _, test := range []struct {
		in   string
		want config.Shard
		ok   bool
	}{
		{"0/1", config.Shard{Index: 0, Of: 1}, true},
		{"0/16", config.Shard{Index: 0, Of: 16}, true},
		{"15/16", config.Shard{Index: 15, Of: 16}, true},
		{"16/16", config.Shard{}, false}, // counted from 1, the last share would come twice and the first never
		{"0/0", config.Shard{}, false},
		{"1/0", config.Shard{}, false},
		{"-1/16", config.Shard{}, false},
		{"3", config.Shard{}, false},
		{"", config.Shard{}, false},
		{"/", config.Shard{}, false},
		{"/16", config.Shard{}, false},
		{"3/", config.Shard{}, false},
		{"3/16/2", config.Shard{}, false},
		{"3 / 16", config.Shard{}, false},
		{"3/16 ", config.Shard{}, false},
		{"3-16", config.Shard{}, false},
		{"0x3/16", config.Shard{}, false},
		{"0/4294967296", config.Shard{}, false},
	} {
		var got config.Shard
		err := got.UnmarshalText([]byte(test.in))
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %+v, %v, want %+v", test.in, got, err, test.want)
		}
		if err == nil && got.String() != test.in {
			t.Errorf("%q is written as %q", test.in, got.String())
		}
		if err != nil && !strings.HasPrefix(err.Error(), fmt.Sprintf("%q is not a share: write I/N", test.in)) {
			t.Errorf("%q: %v", test.in, err)
		}
	}
}

// Without --shard, all is taken.
func TestNoShard(t *testing.T) {
	s, err := load(t, nil, "")
	if err != nil || s.Shard != (config.Shard{}) || s.Shard.String() != "" {
		t.Fatalf("%+v, %v", s.Shard, err)
	}
	for _, id := range []string{"", "a", "14508071098244929440"} {
		if !s.Shard.Takes(id) {
			t.Errorf("%q is not taken", id)
		}
	}
}

// A job that is started again, by another release, must get the same share. The figures are FNV-1a 64 modulo N, worked out by
// another program; the hashes of "a" and "foobar" are in its authors' list: af63dc4c8601ec8c and 85944171f73967e8.
func TestShardIsForEver(t *testing.T) {
	for id, want := range map[string]map[uint64]uint64{ // N: I
		"":                     {3: 2, 16: 5, 1000: 37},
		"a":                    {3: 1, 16: 12, 1000: 996},
		"foobar":               {3: 0, 16: 8, 1000: 968},
		"14508071098244929440": {3: 0, 16: 14, 1000: 174},
		"387702292285462759":   {3: 2, 16: 3, 1000: 283},
		"5285890781763144364":  {3: 0, 16: 0, 1000: 528},
	} {
		for of, index := range want {
			if !(config.Shard{Index: index, Of: of}).Takes(id) {
				t.Errorf("%q does not belong to share %d of %d", id, index, of)
			}
		}
	}
}

// The shares together are all of the input, nothing comes twice, and none is much larger, also where ids have a pattern.
func TestShardsDivide(t *testing.T) {
	const each = 500
	for _, of := range []uint64{1, 2, 3, 16} {
		for _, step := range []uint64{1, 10, 64, 4096} {
			count := make([]int, of)
			for n := range each * of {
				id, takers := fmt.Sprint(14508071098244929440+n*step), 0
				for i := range of {
					if (config.Shard{Index: i, Of: of}).Takes(id) {
						count[i]++
						takers++
					}
				}
				if takers != 1 {
					t.Fatalf("%s belongs to %d of %d shares", id, takers, of)
				}
			}
			for i, n := range count {
				if n < each*8/10 || n > each*12/10 {
					t.Errorf("share %d of %d of ids in steps of %d has %d, want about %d", i, of, step, n, each)
				}
			}
		}
	}
}
