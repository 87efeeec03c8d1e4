package main

import (
	"context"
	"io"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// destination is a store that can be looked through, and say whether it works at all and what it can do.
type destination interface {
	mirror.Store
	admin.Pictures
	Check(context.Context) error
	Probe(context.Context) ([]store.Finding, error)
}

// openDestination opens what --to names and sees that it works. The caller calls close.
func (a *app) openDestination(d config.Destination, concurrency int, readOnly bool) (_ destination, close func() error, _ error) {
	dest, close, err := a.destinationFor(d, concurrency, readOnly)
	if err != nil {
		return nil, nil, err
	}
	if err := dest.Check(a.ctx); err != nil {
		_ = close()
		return nil, nil, err
	}
	return dest, close, nil
}

// destinationFor opens what --to names without asking it anything. The caller calls close.
func (a *app) destinationFor(d config.Destination, concurrency int, readOnly bool) (_ destination, close func() error, _ error) {
	if err := d.CheckObjects(); err != nil {
		return nil, nil, usageError(err, "name a bucket with --to s3://BUCKET[/PREFIX], or leave the setting out")
	}
	var dest destination
	var closer io.Closer = nothing{}
	if d.To.Bucket == "" {
		dir, err := store.OpenDir(d.To.Dir, readOnly)
		if err != nil {
			return nil, nil, err
		}
		dest, closer = dir, dir
	} else {
		s3, err := a.openS3(d, concurrency)
		if err != nil {
			return nil, nil, err
		}
		dest = s3
	}
	return dest, closer.Close, nil
}

func (a *app) openS3(d config.Destination, concurrency int) (*store.S3, error) {
	aws, err := config.LoadAWS(a.lookup)
	if err != nil {
		return nil, usageError(err, "set both, or neither to use shared credentials or a role")
	}
	endpoint, region := aws.Endpoint, aws.Region
	if d.S3Endpoint != "" {
		endpoint = d.S3Endpoint
	}
	if d.S3Region != "" {
		region = d.S3Region
	}
	s3, err := store.NewS3(store.S3Options{
		Bucket: d.To.Bucket, Prefix: d.To.Prefix, Endpoint: endpoint, Region: region, Addressing: d.S3Addressing,
		Credentials: store.S3Credentials{
			AccessKeyID: aws.AccessKeyID, SecretAccessKey: aws.SecretAccessKey.Reveal(), SessionToken: aws.SessionToken.Reveal(),
			Profile: aws.Profile, File: aws.SharedConfig,
		},
		Headers: store.S3Headers{
			StorageClass: string(d.StorageClass), CacheControl: string(d.CacheControl), SSE: serverSide[d.SSE], KMSKeyID: d.SSEKMSKeyID, Tags: d.Tag,
		},
		Concurrency: concurrency, AppName: "snapshot-mirror", AppVersion: version(),
	})
	if err != nil {
		return nil, usageError(err, "check --to and --s3-endpoint (or AWS_ENDPOINT_URL_S3), e.g. --s3-endpoint http://127.0.0.1:9000")
	}
	return s3, nil
}

// serverSide is what the values of --sse mean.
var serverSide = map[string]string{"S3": store.SSES3, "KMS": store.SSEKMS}

// newFilter makes the filter of --include and --exclude.
func newFilter(c config.Choice) (mirror.Filter, error) {
	f, err := mirror.ParseFilter(c.Include, c.Exclude)
	if err != nil {
		return f, usageError(err, "write a rule like file-id=5285890*,definition=10,20,time-offset=0-60000")
	}
	return f, nil
}

// newWorker makes the worker that the settings describe; o adds what is no setting.
func (a *app) newWorker(dest mirror.Store, d config.Destination, s config.Source, o mirror.Options) (*mirror.Worker, error) {
	key, err := mirror.ParseKeyTemplate(d.KeyTemplate)
	if err != nil {
		return nil, usageError(err, "mend --key-template")
	}
	o.Key, o.UserAgent, o.Log = key, "snapshot-mirror/"+version(), a.log
	o.Concurrency, o.MaxImageSize, o.BytesInFlight = s.Concurrency, int64(s.MaxImageSize), int64(s.BytesInFlight)
	o.HostConcurrency, o.SourceRetries, o.IdleTimeout, o.AttemptTimeout = s.HostConcurrency, s.SourceRetries, s.IdleTimeout, s.AttemptTimeout
	o.Bandwidth, o.Rate = int64(s.Bandwidth), float64(s.Rate)
	o.AllowPrivateSources, o.Proxy = s.AllowPrivateSources, s.SourceProxy.Reveal()
	o.Origin = mirror.Origin{
		Hosts: s.SourceHost, Referer: s.SourceReferer, Header: s.SourceHeader.Reveal(), Rewrite: s.SourceRewrite, HTTPS: s.SourceHTTPS, HotlinkKey: s.HotlinkKey.Reveal(),
	}
	takeLibraryLog(a.log)
	worker, err := mirror.New(dest, o)
	if err != nil {
		return nil, usageError(err, "")
	}
	return worker, nil
}

type nothing struct{}

func (nothing) Close() error { return nil }
