package store

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Probe tries out what the bucket and its service can do: the requests that mirroring makes, and a few that must fail. It writes
// [ProbeKey] and nothing else. Where the bucket can't be used, it gives the findings up to there, of which the last is not OK,
// and the *Error, or the context's.
func (s *S3) Probe(ctx context.Context) ([]Finding, error) {
	lax, err := s.clientWith(&answers{next: s.answers.next, timeout: s.options.Timeout, lax: true})
	if err != nil {
		return nil, err
	}
	p := &s3Probe{S3: s, lax: lax, object: Object{
		Key: ProbeKey, Body: []byte(probeText), MD5: md5.Sum([]byte(probeText)), ContentType: "text/plain",
		Metadata: map[string]string{"file-id": "%2E%2E%2Fa%20b", "source-url": "http://host/a%2Fb%20c+d.jpg", "task-id": "A-Z_a~z.0", "probe": rand.Text()},
	}}
	for _, step := range []func(context.Context) error{
		p.transport, p.list, p.look, p.put, p.metadata, p.conditional, p.contentMD5, p.crc32c, p.clock,
	} {
		if err := step(ctx); err != nil {
			return p.findings, err
		}
	}
	return p.findings, nil
}

type s3Probe struct {
	*S3
	lax      minio.Core // takes an ETag that is not the MD5
	object   Object
	md5ETag  bool
	findings []Finding
}

func (p *s3Probe) found(name string, ok bool, value, hint string) {
	p.findings = append(p.findings, Finding{name, ok, value, hint})
}

// broken is a finding without which there is no more to be found.
func (p *s3Probe) broken(name string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		p.found(name, false, e.Err.Error(), e.Hint)
	}
	return err
}

// send puts the probe, changed in some way.
func (p *s3Probe) send(ctx context.Context, client minio.Core, o Object, change func(*minio.PutObjectOptions)) (minio.UploadInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout*3/2)
	defer cancel()
	options := p.putOptions(o)
	if change != nil {
		change(&options)
	}
	return p.putWith(ctx, client, o, options)
}

// transport looks at nothing but the addresses.
func (p *s3Probe) transport(ctx context.Context) error {
	endpoint := p.client.EndpointURL()
	value, hint := "TLS", ""
	if endpoint.Scheme != "https" {
		value, hint = "plain HTTP", "pictures, and what is recorded with them, are readable on the way; the secret key is not sent"
	}
	p.found("transport", true, value, hint)
	// As a request would be addressed; nothing is sent.
	u, err := p.client.PresignedHeadObject(ctx, p.options.Bucket, p.key(ProbeKey), time.Minute, nil)
	if err != nil {
		return p.fail(ctx, "signing a request", "", err)
	}
	value = "path: " + endpoint.Host + "/" + p.options.Bucket
	if strings.HasPrefix(u.Host, p.options.Bucket+".") {
		value = "virtual: " + u.Host
	}
	p.found("addressing", true, value, "")
	return nil
}

func (p *s3Probe) list(ctx context.Context) error {
	if err := p.Check(ctx); err != nil {
		return p.broken("list", err)
	}
	p.found("list", true, "allowed", "")
	return nil
}

func (p *s3Probe) look(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, p.options.Timeout*3/2)
	defer cancel()
	_, err := p.client.StatObject(limited, p.options.Bucket, p.key(ProbeKey), minio.StatObjectOptions{})
	switch {
	case err == nil:
		p.found("look", true, "allowed: there is an earlier probe", "")
	case minio.ToErrorResponse(err).StatusCode == http.StatusNotFound:
		p.found("look", true, "allowed: there is no earlier probe", "")
	default:
		return p.broken("look", p.fail(ctx, "looking for", ProbeKey, err))
	}
	return nil
}

func (p *s3Probe) put(ctx context.Context) error {
	info, err := p.send(ctx, p.client, p.object, nil)
	if err != nil {
		return p.broken("put", p.fail(ctx, "putting", ProbeKey, err))
	}
	p.found("put", true, "allowed", "")
	p.md5ETag = info.ETag == hex.EncodeToString(p.object.MD5[:])
	value := "not the MD5"
	if p.md5ETag {
		value = "the MD5, which each put compares"
	}
	p.found("etag", true, value, "")
	return nil
}

// metadata wants back what was put.
func (p *s3Probe) metadata(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, p.options.Timeout*3/2)
	defer cancel()
	o, err := p.client.StatObject(limited, p.options.Bucket, p.key(ProbeKey), minio.StatObjectOptions{})
	if err != nil {
		return p.broken("metadata", p.fail(ctx, "looking for", ProbeKey, err))
	}
	switch got := s3Info(o); {
	case got.Size != int64(len(p.object.Body)) || got.Metadata["probe"] != p.object.Metadata["probe"]:
		p.found("metadata", false, "not that of the put before", "the service answers with what was there earlier: snapshot-mirror may fetch pictures again that are there")
	case got.ContentType != p.object.ContentType:
		p.found("metadata", true, fmt.Sprintf("kept, but the content type is %q", printable(got.ContentType, 60)), "pictures will be served with another content type")
	case !maps.Equal(got.Metadata, p.object.Metadata):
		p.found("metadata", false, "changed", "snapshot-mirror can't tell what is there: pictures are fetched anew each time")
	default:
		p.found("metadata", true, "kept", "")
	}
	return nil
}

func (p *s3Probe) conditional(ctx context.Context) error {
	const overwrites = "where several processes put two definitions under one key at the same moment, the last one stays"
	_, err := p.send(ctx, p.client, p.object, func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") })
	return p.refusal(ctx, "conditional put", err, map[int]string{http.StatusPreconditionFailed: honoured, http.StatusConflict: honoured, http.StatusNotImplemented: unknown}, overwrites)
}

func (p *s3Probe) contentMD5(ctx context.Context) error {
	o := p.object
	o.MD5[0]++
	hint := "a picture that changes on its way to the bucket is not noticed"
	if p.md5ETag {
		hint = "the ETag is compared in its place"
	}
	_, err := p.send(ctx, p.lax, o, nil)
	return p.refusal(ctx, "content md5", err, map[int]string{http.StatusBadRequest: honoured}, hint)
}

func (p *s3Probe) crc32c(ctx context.Context) error {
	with := func(sum string) func(*minio.PutObjectOptions) {
		return func(o *minio.PutObjectOptions) { withCRC32C(o, sum) }
	}
	if _, err := p.send(ctx, p.client, p.object, with(p.object.crc32c())); err != nil && ctx.Err() == nil {
		p.found("crc32c", true, unknown, "") // it refuses a right one
		return nil
	}
	_, err := p.send(ctx, p.client, p.object, with(wrongCRC32C))
	return p.refusal(ctx, "crc32c", err, map[int]string{http.StatusBadRequest: honoured}, "")
}

// refusal notes what became of a put that should have been refused with one of these statuses. Where it was not, or the service
// does not know it, snapshot-mirror works all the same, and the hint says what that means.
func (p *s3Probe) refusal(ctx context.Context, name string, err error, statuses map[int]string, hint string) error {
	value, expected := statuses[minio.ToErrorResponse(err).StatusCode]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		p.found(name, true, ignored, hint)
	case expected && value == honoured:
		p.found(name, true, honoured, "")
	case expected:
		p.found(name, true, value, hint)
	default:
		_ = p.broken(name, p.fail(ctx, "putting", ProbeKey, err))
	}
	return nil
}

// clockTrouble is how wrong a clock may be; S3 refuses requests from 15 min on.
const clockTrouble = time.Minute

func (p *s3Probe) clock(context.Context) error {
	ahead := time.Duration(p.answers.ahead.Load()).Round(time.Second)
	switch {
	case ahead == 0:
		p.found("clock", true, "the service's agrees with ours, within a second", "")
	case ahead > 0:
		p.found("clock", ahead < clockTrouble, fmt.Sprintf("the service's is %s ahead of ours", ahead), clockHint(ahead))
	default:
		p.found("clock", -ahead < clockTrouble, fmt.Sprintf("the service's is %s behind ours", -ahead), clockHint(-ahead))
	}
	return nil
}

func clockHint(off time.Duration) string {
	if off < clockTrouble {
		return ""
	}
	return "set this machine's clock: S3 refuses requests that are 15 minutes off"
}
