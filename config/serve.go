package config

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Callback settings say who may post events, and where.
type Callback struct {
	Listen               string     `help:"Address for VOD's callbacks, or for what your receiver forwards; off takes none." default:"127.0.0.1:8080" placeholder:"HOST:PORT" group:"Callback"`
	CallbackPath         string     `help:"Path that events are posted to." default:"/callback" group:"Callback"`
	SignKey              SecretList `help:"VOD's callback key: events must carry a valid Sign and T. Several, with commas between, for a change of keys. Better in the environment, like the other secrets: flags show in lists of processes." placeholder:"KEY" group:"Callback"`
	CallbackUser         string     `help:"Ask for HTTP Basic authentication: the user." placeholder:"NAME" group:"Callback"`
	CallbackPassword     Secret     `help:"Ask for HTTP Basic authentication: the password." placeholder:"SECRET" group:"Callback"`
	CallbackSecret       Secret     `help:"Ask for a secret behind the path: /callback/SECRET." placeholder:"SECRET" group:"Callback"`
	AllowFrom            Networks   `help:"Take events from these networks only, e.g. 10.0.0.0/8, with commas between." placeholder:"CIDR,..." group:"Callback"`
	AllowUnauthenticated bool       `help:"Take events from anybody, though --listen is reachable from other machines." group:"Callback"`
	MaxEventSize         Size       `help:"Largest body of a callback." default:"4MiB" group:"Callback"`
}

// Authenticated says whether there is any check of who posts.
func (c Callback) Authenticated() bool {
	return len(c.SignKey) > 0 || c.CallbackUser != "" || c.CallbackPassword.Reveal() != "" || c.CallbackSecret.Reveal() != "" || len(c.AllowFrom) > 0
}

// Off says whether there is to be no callback.
func (c Callback) Off() bool { return c.Listen == "off" }

// Validate is called when all settings are read.
func (c Callback) Validate() error {
	if c.Off() {
		return nil
	}
	local, err := Loopback(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("--listen: %w", err)
	case !local && !c.Authenticated() && !c.AllowUnauthenticated:
		return fmt.Errorf("--listen %s can be reached from other machines, and anybody could post events: set SNAPSHOT_MIRROR_SIGN_KEY, SNAPSHOT_MIRROR_CALLBACK_SECRET, SNAPSHOT_MIRROR_CALLBACK_PASSWORD or --allow-from, or --allow-unauthenticated if something else keeps strangers out", c.Listen)
	case !strings.HasPrefix(c.CallbackPath, "/") || strings.ContainsAny(c.CallbackPath, "?#% "):
		return fmt.Errorf("--callback-path is %q, it must begin with a slash and be nothing but a path", c.CallbackPath)
	case strings.ContainsAny(c.CallbackSecret.Reveal(), "/?#% "):
		return errors.New("--callback-secret must not hold slashes, blanks, ?, # or %")
	case (c.CallbackUser == "") != (c.CallbackPassword.Reveal() == ""):
		return errors.New("set --callback-user and --callback-password, or neither")
	case c.MaxEventSize < 1<<10 || c.MaxEventSize > 16<<20:
		return fmt.Errorf("--max-event-size is %s, it must be 1 KiB to 16 MiB", c.MaxEventSize)
	}
	return nil
}

// NATS settings say where a queue is that several processes share.
type NATS struct {
	NATS         string `name:"nats" help:"Keep the queue in this NATS server or cluster (JetStream), shared by all who name it: nats://HOST:4222,..." placeholder:"URL" group:"Queue"`
	NATSCreds    string `name:"nats-creds" help:"NATS credentials file." placeholder:"FILE" group:"Queue"`
	NATSCA       string `name:"nats-ca" help:"Certificate authority of the NATS servers (PEM)." placeholder:"FILE" group:"Queue"`
	NATSCert     string `name:"nats-cert" help:"Client certificate for NATS (PEM)." placeholder:"FILE" group:"Queue"`
	NATSKey      string `name:"nats-key" help:"Key of the client certificate (PEM)." placeholder:"FILE" group:"Queue"`
	NATSReplicas int    `name:"nats-replicas" help:"Copies of each message in a NATS cluster when the streams are made; 0 is 3 in a cluster and 1 elsewhere." default:"0" group:"Queue"`
	QueueName    string `help:"Name of the queue's streams: another name is another queue in the same NATS." default:"SNAPSHOTS" group:"Queue"`
}

// Validate is called when all settings are read.
func (n NATS) Validate() error {
	switch {
	case n.QueueName == "" || len(n.QueueName) > 64 || strings.Trim(n.QueueName, letters+digits+"-_") != "":
		return fmt.Errorf("--queue-name is %q: only letters, digits, - and _", n.QueueName)
	case (n.NATSCert == "") != (n.NATSKey == ""):
		return errors.New("set --nats-cert and --nats-key, or neither")
	case n.NATSReplicas < 0 || n.NATSReplicas > 5:
		return fmt.Errorf("--nats-replicas is %d, it must be 0 to 5", n.NATSReplicas)
	case n.NATS == "" && (n.NATSCreds != "" || n.NATSCA != "" || n.NATSCert != ""):
		return errors.New("--nats-creds, --nats-ca and --nats-cert say nothing without --nats")
	case n.NATS == "":
		return nil
	}
	for address := range strings.SplitSeq(n.NATS, ",") {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil || u.Hostname() == "" || (u.Scheme != "nats" && u.Scheme != "tls") {
			return errors.New("--nats must be addresses like nats://HOST:4222 or tls://HOST:4222, with commas between")
		}
	}
	return nil
}

const (
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters = upper + "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// Queue settings say where snapshots wait, and how long.
type Queue struct {
	DataDir string `help:"Directory of the queue in this process. Not used with --nats." default:"./data" placeholder:"DIR" group:"Queue"`
	NATS
	RetryMin    time.Duration `help:"Wait after a snapshot's first failure; it doubles with each." default:"10s" group:"Queue"`
	RetryMax    time.Duration `help:"Longest wait between tries." default:"1h" group:"Queue"`
	GiveUpAfter time.Duration `help:"A snapshot that still fails this long after its first failure becomes a dead letter." default:"24h" group:"Queue"`
}

// Validate is called when all settings are read.
func (q Queue) Validate() error {
	switch {
	case q.RetryMin < 100*time.Millisecond || q.RetryMax < q.RetryMin || q.RetryMax > 24*time.Hour:
		return fmt.Errorf("--retry-min is %s and --retry-max %s: they must be 100ms to 24h, in this order", q.RetryMin, q.RetryMax)
	case q.GiveUpAfter < time.Millisecond:
		return fmt.Errorf("--give-up-after is %s, it must be 1ms or more", q.GiveUpAfter)
	}
	return q.NATS.Validate()
}

// Admin settings say where to reach a running serve.
type Admin struct {
	AdminURL string `name:"admin-url" help:"Admin address of the running serve." default:"http://127.0.0.1:9090" placeholder:"URL" group:"Admin"`
}

// Serve settings are those of the command.
type Serve struct {
	AdminListen string        `help:"Address of the status page, health and metrics, and of the failed snapshots." default:"127.0.0.1:9090" placeholder:"HOST:PORT" group:"Serve"`
	AdminAuth   Secret        `help:"What clients on other machines must know to see the page and change things: user:password (Basic) or a token (Bearer, or any user's password). Without it they may look, and change nothing. Better in the environment." placeholder:"SECRET" group:"Serve"`
	AdminHost   Hosts         `help:"Names by which the admin address is called, with commas between. Addresses and localhost need none." placeholder:"HOST,..." group:"Serve"`
	PProf       bool          `name:"pprof" help:"Serve Go's profiles at /debug/pprof/ of the admin address, to this machine only." group:"Serve"`
	Drain       time.Duration `help:"At SIGTERM, finish what is in flight for this long; the rest stays queued." default:"30s" group:"Serve"`
}

// Validate is called when all settings are read.
func (s Serve) Validate() error {
	if _, err := Loopback(s.AdminListen); err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	if s.Drain < 0 {
		return fmt.Errorf("--drain is %s, it can't be negative", s.Drain)
	}
	if slices.ContainsFunc(s.AdminHost, func(h string) bool { return strings.HasPrefix(h, "*") }) {
		return errors.New("--admin-host must be whole names: whoever has one below a domain could act for its users")
	}
	if auth := s.AdminAuth.Reveal(); auth != "" {
		user, secret, basic := strings.Cut(auth, ":")
		if !basic {
			secret = auth
		}
		if len(secret) < 8 || basic && user == "" || strings.ContainsFunc(auth, func(r rune) bool { return r < '!' || r > '~' }) {
			return errors.New("--admin-auth must be user:password or a token, of letters, digits and signs; password or token of 8 characters or more")
		}
	}
	return nil
}

// Loopback says whether only this machine can reach a listening address.
func Loopback(address string) (bool, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return false, fmt.Errorf("%q is not HOST:PORT", address)
	}
	if host == "localhost" {
		return true, nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback(), nil
}

// Networks are written like 10.0.0.0/8,192.0.2.7.
type Networks []netip.Prefix

// UnmarshalText reads the written form.
func (n *Networks) UnmarshalText(text []byte) error {
	*n = nil
	for part := range strings.SplitSeq(string(text), ",") {
		part = strings.TrimSpace(part)
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			ip, err := netip.ParseAddr(part)
			if err != nil || ip.Zone() != "" {
				return fmt.Errorf("%q is not a network: write it like 10.0.0.0/8", part)
			}
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		*n = append(*n, prefix.Masked())
	}
	return nil
}

// SecretList is one secret or several, with commas between.
type SecretList []Secret

// UnmarshalText reads the written form.
func (l *SecretList) UnmarshalText(text []byte) error {
	*l = nil
	for part := range strings.SplitSeq(string(text), ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return errors.New("an empty key is none")
		}
		*l = append(*l, NewSecret(part))
	}
	return nil
}

// Reveal gives the secrets themselves.
func (l SecretList) Reveal() []string {
	out := make([]string, len(l))
	for i, s := range l {
		out[i] = s.Reveal()
	}
	return out
}

// Shard is a share of the work, written I/N; the zero value is all of it.
type Shard struct{ Index, Of uint64 }

// UnmarshalText reads the written form.
func (s *Shard) UnmarshalText(text []byte) error {
	first, second, found := strings.Cut(string(text), "/")
	i, err1 := strconv.ParseUint(first, 10, 32)
	n, err2 := strconv.ParseUint(second, 10, 32)
	if !found || err1 != nil || err2 != nil || n == 0 || i >= n {
		return fmt.Errorf("%q is not a share: write I/N with I from 0 to N-1, e.g. 0/16 to 15/16", text)
	}
	*s = Shard{i, n}
	return nil
}

// Takes says whether a file id belongs to the share. It depends on the id alone, for ever.
func (s Shard) Takes(fileID string) bool {
	if s.Of == 0 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(fileID))
	return h.Sum64()%s.Of == s.Index
}

func (s Shard) String() string {
	if s.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Of)
}
