package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// S3 puts objects into one bucket of an S3-compatible service, below a prefix. It is safe for concurrent use.
type S3 struct {
	client  minio.Core
	direct  atomic.Pointer[direct] // nil until the first objects have been put
	options S3Options
	answers *answers
	// clientWith makes another client of the same bucket.
	clientWith func(http.RoundTripper) (minio.Core, error)
	creds      *credentials.Credentials
	// unconditional is set when the service turns out not to know conditional puts.
	unconditional atomic.Bool
	// What the service has shown so far: see learn.
	excludes atomic.Bool
	sums     atomic.Int32
	puts     atomic.Int64
}

// S3Options say which bucket and how to reach it.
type S3Options struct {
	Bucket string
	// Prefix stands before every key, with a "/" between; "" for none.
	Prefix string
	// Endpoint is http(s)://host[:port]; "" means Amazon's for the region.
	Endpoint string
	// Region is always sent; asking the service for it would cost a request and a permission.
	Region string
	// Addressing is "path", "virtual" or "auto": virtual-host for the providers that need it, path for all others.
	Addressing  string
	Credentials S3Credentials
	// Headers go with each object.
	Headers S3Headers
	// Concurrency is how many requests run at once; it sizes the connection pool.
	Concurrency int
	// Timeout is how long an answer may take, from the end of a request to the answer's beginning. Default 30 s.
	Timeout time.Duration
	// AppName and AppVersion go into the User-Agent.
	AppName, AppVersion string
}

// S3Credentials are the AWS conventions: fixed keys, or else the shared files, or else the role of the machine or pod.
type S3Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	// Profile and File choose among the shared credentials; "" means the AWS defaults.
	Profile, File string
}

const (
	// s3Attempts is how often minio-go sends one request at the most, waiting up to 1 s in between.
	s3Attempts     = 5
	s3Timeout      = 30 * time.Second
	s3PutTimeout   = 5 * time.Minute
	s3CheckTimeout = 8 * time.Second
	s3DialTimeout  = 10 * time.Second
	s3TLSTimeout   = 10 * time.Second
)

// NewS3 makes the store. It asks nobody; Check does.
func NewS3(o S3Options) (*S3, error) {
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return nil, fmt.Errorf("bucket name %q: %w", o.Bucket, err)
	}
	if o.Prefix != "" {
		if err := checkKey(o.Prefix); err != nil {
			return nil, fmt.Errorf("prefix %q: %w", o.Prefix, err)
		}
	}
	endpoint, err := s3Endpoint(o)
	if err != nil {
		return nil, err
	}
	if err := o.Headers.check(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = s3Timeout
	}
	dialer := &net.Dialer{Timeout: s3DialTimeout}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           bodyDialer(dialer.DialContext),
		DialTLSContext:        bodyDialer((&tls.Dialer{NetDialer: dialer}).DialContext),
		TLSHandshakeTimeout:   s3TLSTimeout, // through a proxy
		ResponseHeaderTimeout: o.Timeout,
		ExpectContinueTimeout: 10 * time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConns:          2 * o.Concurrency,
		// One connection a worker stays open: the library's own 16 cost 4 to 7 ms an object at 64 workers.
		MaxIdleConnsPerHost: o.Concurrency,
		DisableCompression:  true,
	}
	s := &S3{options: o, answers: &answers{next: transport, timeout: o.Timeout}, creds: s3Credentials(o.Credentials)}
	s.clientWith = func(transport http.RoundTripper) (minio.Core, error) {
		client, err := minio.New(endpoint.Host, &minio.Options{
			Creds:        s.creds,
			Secure:       endpoint.Scheme == "https",
			Transport:    transport,
			Region:       o.Region,
			BucketLookup: s3Lookup(o.Addressing, endpoint.Hostname()),
			MaxRetries:   s3Attempts,
		})
		if err != nil {
			return minio.Core{}, fmt.Errorf("setting up the S3 client: %w", err)
		}
		client.SetAppInfo(o.AppName, o.AppVersion)
		return minio.Core{Client: client}, nil
	}
	s.client, err = s.clientWith(s.answers)
	return s, err
}

func s3Endpoint(o S3Options) (*url.URL, error) {
	if o.Endpoint == "" {
		return &url.URL{Scheme: "https", Host: "s3." + o.Region + ".amazonaws.com"}, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("the S3 endpoint must be http://HOST[:PORT] or https://HOST[:PORT], without a path")
	}
	return u, nil
}

func s3Lookup(addressing, host string) minio.BucketLookupType {
	switch addressing {
	case "path":
		return minio.BucketLookupPath
	case "virtual":
		return minio.BucketLookupDNS
	}
	// minio-go knows Amazon and Google. COS and OSS refuse path addressing too.
	for _, suffix := range []string{".myqcloud.com", ".tencentcos.cn", ".aliyuncs.com"} {
		if strings.HasSuffix(host, suffix) {
			return minio.BucketLookupDNS
		}
	}
	return minio.BucketLookupAuto
}

func s3Credentials(c S3Credentials) *credentials.Credentials {
	if c.AccessKeyID != "" || c.SecretAccessKey != "" {
		return credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.FileAWSCredentials{Filename: c.File, Profile: c.Profile},
		&credentials.IAM{Client: &http.Client{Timeout: 2 * time.Second}},
	})
}

func (s *S3) key(key string) string {
	if s.options.Prefix == "" {
		return key
	}
	return s.options.Prefix + "/" + key
}

// tooLong is for keys that only the prefix makes too long.
func (s *S3) tooLong(op, key string) error {
	if n := len(s.key(key)); n > maxKeyBytes {
		return &Error{Kind: Rejected, Op: op, Key: key, Err: fmt.Errorf("with its prefix, the key has %d bytes, more than %d", n, maxKeyBytes)}
	}
	return nil
}

// Check finds out with one listing whether the bucket can be reached with these credentials. A listing, because a HEAD has no
// body to say what is wrong, and because without the right to list, S3 answers 403 for every object that does not exist.
func (s *S3) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s3CheckTimeout)
	defer cancel()
	const op = "looking into the bucket"
	creds, err := s.client.GetCreds()
	if err == nil && creds.AccessKeyID == "" {
		err = errors.New("no credentials found")
	}
	if err != nil {
		return &Error{Kind: Denied, Op: op, Err: err, Whole: true, Hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role"}
	}
	for o := range s.client.ListObjectsIter(ctx, s.options.Bucket, minio.ListObjectsOptions{Prefix: s.options.Prefix, Recursive: true, MaxKeys: 1}) {
		if o.Err != nil {
			return s.fail(ctx, op, "", o.Err)
		}
		return nil
	}
	return nil
}

// Head implements the store's contract.
func (s *S3) Head(ctx context.Context, key string) (Info, error) {
	const op = "looking for"
	if err := refuse(op, key); err != nil {
		return Info{}, err
	}
	if err := s.tooLong(op, key); err != nil {
		return Info{}, err
	}
	// Half as long again as one answer: whoever has waited in vain once is not made to wait long.
	limited, cancel := context.WithTimeout(ctx, s.options.Timeout*3/2)
	defer cancel()
	o, err := s.client.StatObject(limited, s.options.Bucket, s.key(key), minio.StatObjectOptions{})
	if err != nil {
		if r := minio.ToErrorResponse(err); r.StatusCode == http.StatusNotFound && r.Code != "NoSuchBucket" {
			return Info{}, fmt.Errorf("%s %q: %w", op, key, ErrNotFound)
		}
		return Info{}, s.explain(ctx, s.fail(ctx, op, key, err))
	}
	return s3Info(o), nil
}

func s3Info(o minio.ObjectInfo) Info {
	info := Info{Size: o.Size, ContentType: o.ContentType, Metadata: make(map[string]string, len(o.UserMetadata))}
	for name, value := range o.UserMetadata {
		info.Metadata[strings.ToLower(name)] = value
	}
	return info
}

// explain finds out with a listing why a HEAD was refused: its answer has no body to tell, and S3 says 400 for an expired token.
func (s *S3) explain(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Denied {
		return err
	}
	if why, ok := errors.AsType[*Error](s.Check(ctx)); ok && why.Kind == Denied {
		e.Err, e.Hint, e.Whole = why.Err, why.Hint, why.Whole
	}
	return e
}

// Put implements the store's contract. The server verifies a checksum; [answers] verifies what it says.
func (s *S3) Put(ctx context.Context, o Object) error {
	const op = "putting"
	if err := refuseObject(op, o); err != nil {
		return err
	}
	if err := s.tooLong(op, o.Key); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s3PutTimeout)
	defer cancel()
	for try := 1; ; try++ {
		conditional := o.IfAbsent && !s.unconditional.Load()
		summed := sums(s.sums.Load())
		err := s.put(limited, o, conditional, summed)
		if err == nil {
			if summed == sumsTried {
				s.sums.CompareAndSwap(int32(sumsTried), int32(sumsCRC32C))
			}
			if s.puts.Add(1) == learnAfter {
				s.learn(limited, o)
			}
			return nil
		}
		r := minio.ToErrorResponse(err)
		switch {
		case summed == sumsTried && r.StatusCode == http.StatusBadRequest: // a right one is refused, too
			s.sums.CompareAndSwap(int32(sumsTried), int32(sumsMD5))
		case conditional && r.StatusCode == http.StatusPreconditionFailed:
			return fmt.Errorf("%s %q: %w", op, o.Key, ErrExists)
		case conditional && r.StatusCode == http.StatusNotImplemented:
			s.unconditional.Store(true)
		case conditional && r.StatusCode == http.StatusConflict && !s3Object[r.Code] && try < s3Attempts: // somebody else's request is under way
		default:
			return s.fail(ctx, op, o.Key, err)
		}
	}
}

func (s *S3) put(ctx context.Context, o Object, conditional bool, summed sums) error {
	if d := s.direct.Load(); d != nil && summed != sumsTried && d.put(ctx, s.key(o.Key), o, conditional, summed) {
		return nil
	}
	options := s.putOptions(o)
	if conditional {
		options.SetMatchETagExcept("*")
	}
	if summed != sumsMD5 {
		withCRC32C(&options, o.crc32c())
	}
	_, err := s.putWith(ctx, s.client, o, options)
	return err
}

// putWith sends one object, again where that may help, and its MD5 unless the options have another checksum. Core takes the MD5 that
// we have; the ordinary client would compute it again.
func (s *S3) putWith(ctx context.Context, c minio.Core, o Object, options minio.PutObjectOptions) (minio.UploadInfo, error) {
	contentMD5 := ""
	if options.UserMetadata[headerCRC32C] == "" {
		contentMD5 = o.contentMD5()
	}
	return c.PutObject(withBody(ctx, o.Body), s.options.Bucket, s.key(o.Key), bytes.NewReader(o.Body), int64(len(o.Body)), contentMD5, "", options)
}

func (s *S3) putOptions(o Object) minio.PutObjectOptions {
	options := minio.PutObjectOptions{
		ContentType:  o.ContentType,
		UserMetadata: o.Metadata,
		// Over plain HTTP the default is a streaming signature, which some servers reject or store as content.
		DisableContentSha256: true,
	}
	s.options.Headers.add(&options)
	return options
}
