package queue

import (
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// External is a NATS server or cluster elsewhere.
type External struct {
	// URL is one address or several, with commas between: nats://host:4222, tls://host:4222.
	URL string
	// Credentials names a .creds file; CA, Cert and Key name PEM files for TLS. Each may be empty.
	Credentials   string
	CA, Cert, Key string
}

func (e External) connect(log *slog.Logger, reconnected func()) (*nats.Conn, error) {
	options := append(clientOptions(log, reconnected), nats.Timeout(5*time.Second))
	if e.Credentials != "" {
		options = append(options, nats.UserCredentials(e.Credentials))
	}
	if e.CA != "" {
		options = append(options, nats.RootCAs(e.CA))
	}
	if e.Cert != "" || e.Key != "" {
		options = append(options, nats.ClientCert(e.Cert, e.Key))
	}
	return nats.Connect(e.URL, options...)
}

func (External) writable(uint64) error { return nil }

func (External) replicated() bool { return true }

func (External) broken(error) {} // its operator's

// clientOptions make a connection that never gives up.
func clientOptions(log *slog.Logger, reconnected func()) []nats.Option {
	return []nats.Option{
		nats.Name("snapshot-mirror"), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(), nats.ReconnectWait(500 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		// Not kept for later: a publish while there is no connection fails at once, and its event gets a 503.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("connection to NATS lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("connected to NATS again"); reconnected() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrSlowConsumer) {
				log.Debug("nats", "err", err)
			}
		}),
	}
}
