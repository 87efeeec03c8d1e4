// Package config is every setting of snapshot-mirror in one struct, and how settings are read: a flag before an environment
// variable SNAPSHOT_MIRROR_<FLAG> before a key of a YAML file before the default. All three have the flag's name.
package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Settings is the reference: each field's tags are its flag's help, default and allowed values, and the README's table is
// generated from them. Commands embed the groups that they need.
type Settings struct {
	General
	Destination
	Source
	Choice
	Backfill
	Callback
	Queue
	Admin
	Serve
	VOD
	Pull
	FromVOD
}

// General settings belong to every command.
type General struct {
	Config    string `help:"Read settings from this YAML file: keys are the names of flags." placeholder:"FILE" group:"General"`
	LogLevel  string `help:"Log messages from this level on: ${enum}." enum:"debug,info,warn,error" default:"info" group:"General"`
	LogFormat string `help:"Log format: ${enum}." enum:"text,json" default:"text" group:"General"`
}

// Destination says where pictures go.
type Destination struct {
	To           Location `help:"Where pictures go: s3://BUCKET[/PREFIX] or a directory." default:"./mirrored" placeholder:"DEST" group:"Destination"`
	KeyTemplate  string   `help:"Object key, made of {file_id}, {time_offset} (ms), {definition}, {task_id} and {ext}." default:"{file_id}/{time_offset}" group:"Destination"`
	S3Endpoint   string   `name:"s3-endpoint" help:"S3 service as http(s)://HOST[:PORT]. Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's own." placeholder:"URL" group:"Destination"`
	S3Region     string   `name:"s3-region" help:"S3 region. Default: AWS_REGION, AWS_DEFAULT_REGION, or us-east-1." placeholder:"REGION" group:"Destination"`
	S3Addressing string   `name:"s3-addressing" help:"Bucket in the path or in the host name: ${enum}." enum:"auto,path,virtual" default:"auto" group:"Destination"`

	StorageClass StorageClass `help:"Storage class of what is put into a bucket, e.g. STANDARD_IA. Default: the bucket's." placeholder:"CLASS" group:"Destination"`
	SSE          string       `name:"sse" help:"Have the bucket encrypt with keys of its own (S3) or of a key service (KMS); off leaves it to the bucket." enum:"off,S3,KMS" default:"off" group:"Destination"`
	SSEKMSKeyID  string       `name:"sse-kms-key-id" help:"Key for --sse KMS. Default: the account's for S3." placeholder:"ID" group:"Destination"`
	CacheControl HeaderText   `help:"Cache-Control of what is put into a bucket, e.g. max-age=31536000." placeholder:"TEXT" group:"Destination"`
	Tag          Tags         `help:"Tags of each object in a bucket, with commas between." placeholder:"K=V,..." group:"Destination"`
}

// CheckObjects says what is wrong with the settings about single objects: a directory knows none of them.
func (d Destination) CheckObjects() error {
	switch {
	case d.SSEKMSKeyID != "" && d.SSE != "KMS":
		return errors.New("--sse-kms-key-id says nothing without --sse KMS")
	case strings.ContainsFunc(d.SSEKMSKeyID, func(r rune) bool { return r <= ' ' || r > '~' }) || len(d.SSEKMSKeyID) > 2048:
		return errors.New("--sse-kms-key-id must be a key's id, alias or ARN, without blanks")
	case d.To.Bucket != "":
		return nil
	}
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"--storage-class", d.StorageClass != ""}, {"--sse", d.SSE == "S3" || d.SSE == "KMS"}, {"--cache-control", d.CacheControl != ""}, {"--tag", len(d.Tag) > 0},
	} {
		if s.set {
			return fmt.Errorf("%s says nothing to a directory, and --to is %s", s.name, d.To)
		}
	}
	return nil
}

// Source says how pictures are fetched.
type Source struct {
	Concurrency         int           `help:"Snapshots worked on at once." default:"32" group:"Source"`
	HostConcurrency     int           `help:"Most fetches from one host at once, if fewer than --concurrency: to go easy on an origin. A host that doesn't answer has few in any case." placeholder:"N" group:"Source"`
	Bandwidth           Bandwidth     `help:"Bytes a second of all fetches together, e.g. 10MB; off is no limit." default:"off" placeholder:"BYTES" group:"Source"`
	Rate                Rate          `help:"Fetches a second from each source host, e.g. 50; off is no limit." default:"off" placeholder:"N" group:"Source"`
	MaxImageSize        Size          `help:"Largest picture; a larger one fails." default:"64MiB" group:"Source"`
	BytesInFlight       Size          `help:"Memory for pictures, all together." default:"256MiB" group:"Source"`
	SourceRetries       int           `help:"Repeat a fetch that failed for a passing reason this often, within seconds." default:"2" group:"Source"`
	IdleTimeout         time.Duration `help:"Give up a fetch on which no byte moves for this long." default:"15s" group:"Source"`
	AttemptTimeout      time.Duration `help:"Give up a fetch that takes longer, though bytes move." default:"5m" group:"Source"`
	AllowPrivateSources bool          `help:"Fetch from addresses that are not public and from any port too. For tests and private origins." group:"Source"`
	SourceHost          Hosts         `help:"Fetch from these hosts only, redirects included, with commas between; *.example.com is all below it." placeholder:"HOST,..." group:"Source"`
	SourceProxy         ProxyURL      `help:"Fetch through this proxy: http, https or socks5://[USER:PASSWORD@]HOST:PORT. Proxies in the usual environment variables are not used. It is the proxy that resolves names, so keep it from private addresses, or set --source-host." placeholder:"URL" group:"Source"`
	SourceReferer       string        `help:"Send this Referer, for origins with hotlink protection." placeholder:"URL" group:"Source"`
	SourceHeader        Headers       `help:"Send these headers with each fetch, \"Name: value\", several on lines of their own. They go to whatever host an event names: see --source-host." placeholder:"HEADER" group:"Source"`
	SourceRewrite       Rewrites      `help:"Ask another host than the events name: OLD=NEW, with commas between." placeholder:"OLD=NEW,..." group:"Source"`
	SourceHTTPS         bool          `name:"source-https" help:"Fetch http URLs by https." group:"Source"`
	HotlinkKey          Secret        `help:"Key of VOD's key hotlink protection: fetches are signed. Wants --source-host, as a signature is good for a whole directory. Better in the environment." placeholder:"KEY" group:"Source"`
}

// Validate is called when all settings are read.
func (s Source) Validate() error {
	switch {
	case s.Concurrency < 1 || s.Concurrency > 4096:
		return fmt.Errorf("--concurrency is %d, it must be 1 to 4096", s.Concurrency)
	case s.HostConcurrency < 0:
		return fmt.Errorf("--host-concurrency is %d, it must be 1 or more, or 0 for --concurrency", s.HostConcurrency)
	case s.SourceRetries < 0 || s.SourceRetries > 20:
		return fmt.Errorf("--source-retries is %d, it must be 0 to 20", s.SourceRetries)
	case s.MaxImageSize < 1 || s.MaxImageSize > 1<<30:
		return fmt.Errorf("--max-image-size is %s, it must be 1 B to 1 GiB", s.MaxImageSize)
	case s.BytesInFlight < s.MaxImageSize:
		return fmt.Errorf("--bytes-in-flight is %s, less than --max-image-size, %s: no picture of that size could be fetched", s.BytesInFlight, s.MaxImageSize)
	case s.HotlinkKey.Reveal() != "" && len(s.SourceHost) == 0:
		return errors.New("--hotlink-key wants --source-host: a signature that a stranger's host gets is good for the whole directory")
	case strings.ContainsFunc(s.SourceReferer, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("--source-referer holds control characters")
	case s.IdleTimeout < 100*time.Millisecond:
		return fmt.Errorf("--idle-timeout is %s, it must be 100ms or more", s.IdleTimeout)
	case s.AttemptTimeout < 100*time.Millisecond:
		return fmt.Errorf("--attempt-timeout is %s, it must be 100ms or more", s.AttemptTimeout)
	}
	return nil
}

// Batch is what commands share that go through many snapshots and then end.
type Batch struct {
	Report        string        `help:"Write a line of JSON for each snapshot to this file: what became of it, and why." placeholder:"FILE" group:"Batch"`
	JSON          bool          `help:"Write the lines of --report to standard output, and the summary to standard error." group:"Batch"`
	StorePatience time.Duration `help:"When the destination is away, wait this long for it, then end." default:"2m" group:"Batch"`
	Progress      string        `help:"How to show progress: ${enum}. auto is a bar on a terminal, else a log line every 10 s." enum:"auto,bar,log,off" default:"auto" group:"Batch"`
	Shard         Shard         `help:"Take only share I of N, counted from 0: a hash of the file id decides. For array jobs." placeholder:"I/N" group:"Batch"`
}

// Validate is called when all settings are read.
func (b Batch) Validate() error {
	if b.StorePatience < time.Second {
		return fmt.Errorf("--store-patience is %s, it must be 1s or more", b.StorePatience)
	}
	return nil
}

// Backfill settings are those of the command.
type Backfill struct {
	Batch
	Failed  string `help:"Write the snapshots that failed to this file, as events that backfill reads." placeholder:"FILE" group:"Backfill"`
	DryRun  bool   `help:"Say what would be mirrored: looks into the destination, fetches and stores nothing." group:"Backfill"`
	Enqueue bool   `help:"Hand the snapshots to the queue of serve (at --admin-url, or of the fleet at --nats) instead of mirroring them here." group:"Backfill"`
}

// Validate is called when all settings are read.
func (b Backfill) Validate() error {
	if b.Enqueue && b.DryRun {
		return errors.New("--enqueue and --dry-run exclude each other: a queue mirrors")
	}
	return b.Batch.Validate()
}

// Verify settings are those of the command.
type Verify struct {
	Prefix string `help:"Without events: check the objects whose keys begin so (below the prefix of --to), each against its own record." placeholder:"KEY" group:"Verify"`
	All    bool   `help:"Without events: check all objects, each against its own record." group:"Verify"`
	Read   bool   `help:"Read each object, and hold its bytes against the recorded checksum and the form of a picture." group:"Verify"`
	Source bool   `help:"Fetch each picture from its origin again, and compare it with the object byte by byte." group:"Verify"`
	Repair bool   `help:"Mirror what is missing or wrong. Wants events." group:"Verify"`
}

// Size is a number of bytes, written like 64MiB, 10MB or 1048576.
type Size int64

// UnmarshalText reads the written form.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is not a size: write it like 64MiB", text)
	}
	*s = Size(n)
	return nil
}

func (s Size) String() string { return humanize.IBytes(uint64(max(s, 0))) }

// Location is a destination: a bucket, with or without a prefix, or a directory.
type Location struct {
	Bucket, Prefix string
	Dir            string // "" for a bucket
}

// UnmarshalText reads s3://BUCKET[/PREFIX] or a directory's name.
func (l *Location) UnmarshalText(text []byte) error {
	scheme, rest, isURL := strings.Cut(string(text), "://")
	switch {
	case !isURL && len(text) == 0:
		return errors.New("it is empty: write s3://BUCKET[/PREFIX] or a directory")
	case !isURL && strings.HasPrefix(string(text), "s3:"):
		return fmt.Errorf("%q lacks slashes: write s3://BUCKET[/PREFIX]", text)
	case !isURL:
		*l = Location{Dir: string(text)}
		return nil
	case scheme != "s3":
		return fmt.Errorf("no destination %s://: write s3://BUCKET[/PREFIX] or a directory", scheme)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return errors.New("no bucket: write s3://BUCKET[/PREFIX]")
	}
	prefix = strings.Trim(prefix, "/")
	for segment := range strings.SplitSeq(prefix, "/") {
		if prefix != "" && (segment == "" || segment == "." || segment == "..") {
			return fmt.Errorf("the prefix %q has a segment %q", prefix, segment)
		}
	}
	*l = Location{Bucket: bucket, Prefix: prefix}
	return nil
}

func (l Location) String() string {
	switch {
	case l.Bucket == "":
		return l.Dir
	case l.Prefix == "":
		return "s3://" + l.Bucket
	}
	return "s3://" + l.Bucket + "/" + l.Prefix
}
