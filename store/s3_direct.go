package store

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// direct makes the PUTs of objects that follow the first ones, one attempt each, without minio-go: from our code to the connection,
// that takes half of the CPU time. Anything but a success is minio-go's: it puts again and says what is wrong.
type direct struct {
	signer    signer
	transport http.RoundTripper
	base      url.URL     // whose path the key is added to
	header    http.Header // what all objects are sent with
}

// newDirect goes by the address that minio-go gives an object; nil is for what is not signed in the usual way.
func (s *S3) newDirect(ctx context.Context) *direct {
	if s3utils.IsAmazonOutpostsEndpoint(*s.client.EndpointURL()) || s3utils.IsS3ExpressBucket(s.options.Bucket) {
		return nil
	}
	const key = "key"
	u, err := s.client.PresignedHeadObject(ctx, s.options.Bucket, key, time.Minute, nil) // nothing is sent
	if err != nil || !strings.HasSuffix(u.Path, "/"+key) {
		return nil
	}
	options := s.putOptions(Object{})
	header := options.Header()
	header.Set("User-Agent", s.options.AppName+"/"+s.options.AppVersion)
	return &direct{
		signer:    signer{creds: s.creds, region: s.options.Region},
		transport: s.answers,
		base:      url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, key)},
		header:    header,
	}
}

// put says whether the object has been put.
func (d *direct) put(ctx context.Context, key string, o Object, conditional bool, summed sums) bool {
	u := d.base
	u.Path += key
	u.RawPath = s3utils.EncodePath(u.Path) // the signature is over this spelling
	header := d.header.Clone()
	if o.ContentType != "" {
		header["Content-Type"] = []string{o.ContentType}
	}
	if conditional {
		header["If-None-Match"] = []string{"*"}
	}
	if summed == sumsMD5 {
		header["Content-Md5"] = []string{o.contentMD5()}
	} else {
		header[headerCRC32C] = []string{o.crc32c()}
	}
	for name, value := range o.Metadata {
		header[metaHeader(name)] = []string{value}
	}
	req := (&http.Request{
		Method: http.MethodPut, URL: &u, Host: u.Host, Header: header, Body: http.NoBody, ContentLength: int64(len(o.Body)), ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(withBody(ctx, o.Body))
	if d.signer.sign(req) != nil {
		return false
	}
	resp, err := d.transport.RoundTrip(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // short, and read already
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return true
		}
	}
	if err != nil || resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
		select { // as minio-go waits before its second attempt
		case <-time.After(rand.N(minio.DefaultRetryUnit)):
		case <-ctx.Done():
		}
	}
	return false
}

var metaHeaders sync.Map // by the metadata's name, of which this program has ten

// metaHeader is the header of metadata.
func metaHeader(name string) string {
	if header, ok := metaHeaders.Load(name); ok {
		return header.(string)
	}
	header := http.CanonicalHeaderKey("X-Amz-Meta-" + name)
	metaHeaders.Store(name, header)
	return header
}
