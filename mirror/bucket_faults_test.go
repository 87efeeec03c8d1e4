package mirror_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// bucketFault answers one request in place of the bucket. pass hands the request to the real bucket, and its answer to w.
type bucketFault func(w http.ResponseWriter, r *http.Request, pass func(http.ResponseWriter))

// says answers as S3 does; a HEAD has no body.
func says(status int, code string, headers ...string) bucketFault {
	body := fmt.Sprintf(`<?xml version="1.0"?><Error><Code>%s</Code><Message>words of the bucket</Message></Error>`, code)
	return page(status, body, append(headers, "Content-Type", "application/xml")...)
}

func page(status int, body string, headers ...string) bucketFault {
	return func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// reset ends the connection with a TCP RST after so many bytes of the request's body.
func reset(after int64) bucketFault {
	return func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
		_, _ = io.CopyN(io.Discard, r.Body, after)
		rst(w)
	}
}

func rst(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// stalls sends a head, or nothing for status 0, and then no more until the client has had enough.
func stalls(status int, headers ...string) bucketFault {
	return func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		if status > 0 {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(status)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// changed has the real bucket do it and then changes its answer.
func changed(change func(http.Header)) bucketFault {
	return func(w http.ResponseWriter, _ *http.Request, pass func(http.ResponseWriter)) {
		answer := httptest.NewRecorder()
		pass(answer)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		change(w.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}
}

// What a bucket does to us, and what comes of it: the whole way of a snapshot, over sockets, with a real bucket behind a proxy that
// makes the trouble. Where the outcome is a failure, stored is what is in the bucket all the same.
func TestBucketFaults(t *testing.T) {
	elsewhere, strayed := newBystander(t)
	const (
		always   = 1 << 30
		mirrored = mirror.Outcome("mirrored")
		skipped  = mirror.Outcome("skipped") // it is there, and found to be ours
		denied   = mirror.Outcome("store_denied")
		down     = mirror.Outcome("store_unavailable")
		rejected = mirror.Outcome("store_rejected")
		gone     = "nothing"
		whole    = "the picture"
	)
	const lbPage = "<html><head><title>502</title></head>\r\n\x1b[31m<body>nginx\x00</body></html>"
	tests := []struct {
		name     string
		at       string // the methods of the requests that meet the fault
		fault    bucketFault
		times    int64          // so often, then the real bucket answers
		want     mirror.Outcome // or the failure's reason
		requests int64          // that met the fault, 0 for any number: where time decides
		stored   string
		says     string // what error and hint must tell
	}{
		// The set-up is wrong: one attempt, and a hint. It concerns every object, or may do.
		{"expired token", "PUT", says(400, "ExpiredToken"), always, denied, 5, gone, "AWS_SESSION_TOKEN"},
		{"expired token, at the first look", "HEAD GET", says(400, "ExpiredToken"), always, denied, 6, gone, "ExpiredToken"},
		{"unknown access key", "PUT", says(403, "InvalidAccessKeyId"), always, denied, 1, gone, "AWS_ACCESS_KEY_ID"},
		{"wrong secret", "PUT", says(403, "SignatureDoesNotMatch"), always, denied, 1, gone, "AWS_SECRET_ACCESS_KEY"},
		{"wrong secret, at the first look", "HEAD GET", says(403, "SignatureDoesNotMatch"), always, denied, 2, gone, "SignatureDoesNotMatch"},
		{"may read, may not write", "PUT", says(403, "AccessDenied"), always, denied, 1, gone, "s3:PutObject"},
		{"may not look", "HEAD", says(403, "AccessDenied"), always, denied, 1, gone, "s3:ListBucket"},
		{"may neither look nor list", "HEAD GET", says(403, "AccessDenied"), always, denied, 2, gone, "s3:ListBucket"},
		{"refused once", "PUT", says(403, "AccessDenied"), 1, denied, 1, gone, "s3:PutObject"},
		{"all access disabled", "PUT", says(403, "AllAccessDisabled"), always, denied, 1, gone, "AllAccessDisabled"},
		{"401", "PUT", page(401, ""), always, denied, 1, gone, "AWS_ACCESS_KEY_ID"},
		{"no such bucket", "PUT", says(404, "NoSuchBucket"), always, denied, 1, gone, "create the bucket"},
		{"no such bucket, told at the first look", "HEAD", page(404, "", "x-minio-error-code", "NoSuchBucket"), always, denied, 1, gone, "create the bucket"},
		{"our clock is wrong", "PUT", says(403, "RequestTimeTooSkewed", "Date", "Fri, 01 Jan 2100 00:00:00 GMT"), always, denied, 1, gone, "ahead of it"},
		{"another region", "PUT", says(400, "AuthorizationHeaderMalformed", "x-amz-bucket-region", "eu-west-9"), always, denied, 1, gone, "--s3-region eu-west-9"},
		{"301 to another region", "PUT", says(301, "PermanentRedirect", "Location", elsewhere, "x-amz-bucket-region", "eu-west-9"), always, denied, 1, gone, "--s3-region eu-west-9"},
		{"307 to another host", "PUT", says(307, "TemporaryRedirect", "Location", elsewhere), always, denied, 1, gone, "--s3-addressing"},
		{"308 to another host, no S3", "PUT", page(308, "", "Location", elsewhere), always, denied, 1, gone, "--s3-addressing"},
		{"307 at the first look", "HEAD", page(307, "", "Location", elsewhere), always, denied, 1, gone, "--s3-addressing"},
		{"405 to a PUT", "PUT", says(405, "MethodNotAllowed"), always, denied, 1, gone, "an S3 service"},
		{"501 to a PUT, conditional or not", "PUT", says(501, "NotImplemented"), always, denied, 2, gone, "an S3 service"},
		{"a web server's 400", "PUT", page(400, "<html>The plain HTTP request was sent to HTTPS port</html>"), always, denied, 1, gone, "an S3 service"},
		{"a web server's 404", "PUT", page(404, "<html>Not found</html>"), always, denied, 1, gone, "an S3 service"},
		{"a code that nobody knows", "PUT", says(400, "SomethingElse"), always, denied, 1, gone, "SomethingElse"},

		// It may pass: minio-go tries again within seconds.
		{"SlowDown twice", "PUT", says(503, "SlowDown"), 2, mirrored, 2, whole, ""},
		{"SlowDown for ever", "PUT", says(503, "SlowDown"), always, down, 5, gone, "SlowDown (503)"},
		{"SlowDown at the first look", "HEAD", page(503, ""), 2, mirrored, 2, whole, ""},
		{"429", "PUT", says(429, "SlowDown"), 1, mirrored, 1, whole, ""},
		{"429 for ever", "PUT", page(429, ""), always, down, 5, gone, "429"},
		{"500", "PUT", says(500, "InternalError"), 1, mirrored, 1, whole, ""},
		{"500 for ever", "PUT", says(500, "InternalError"), always, down, 5, gone, "InternalError (500)"},
		{"507, the service is full", "PUT", says(507, "XMinioStorageFull"), always, down, 1, gone, "XMinioStorageFull"},
		{"a load balancer's page", "PUT", page(502, lbPage, "Content-Type", "text/html"), 1, mirrored, 1, whole, ""},
		{"a load balancer's page for ever", "PUT", page(502, lbPage, "Content-Type", "text/html"), always, down, 5, gone, "502 Bad Gateway"},
		{"a page of 10 MiB", "PUT", page(503, strings.Repeat("x", 10<<20)), 1, mirrored, 1, whole, ""},
		{"an error that breaks off", "PUT", page(503, "<Error><Code>Slow", "Content-Length", "100"), 1, mirrored, 1, whole, ""},
		{"an error that is no XML", "PUT", page(503, "<Error><Code>Slow</Message>"), 1, mirrored, 1, whole, ""},
		{"an error that stalls", "PUT", stalls(503), 1, mirrored, 1, whole, ""},
		{"no answer once", "PUT", stalls(0), 1, mirrored, 1, whole, ""},
		{"no answer for ever", "PUT", stalls(0), always, down, 5, gone, "--s3-endpoint"},
		{"no answer at the first look", "HEAD", stalls(0), always, down, 0, gone, "no answer in time"},
		{"reset at once", "PUT", reset(0), 1, mirrored, 1, whole, ""},
		{"reset within the body", "PUT", reset(20_000), 1, mirrored, 1, whole, ""},
		{"reset for ever", "PUT", reset(20_000), always, down, 5, gone, "--s3-endpoint"},
		{"reset at the first look", "HEAD", reset(0), 1, mirrored, 1, whole, ""},
		{"409, another request is under way", "PUT", says(409, "OperationAborted"), 2, mirrored, 2, whole, ""},
		{"409 for ever", "PUT", says(409, "ConditionalRequestConflict"), always, down, 5, gone, "ConditionalRequestConflict"},
		{"412 for ever, though nothing is there", "PUT", says(412, "PreconditionFailed"), always, down, 2, gone, "PreconditionFailed"},
		{"501 to a conditional PUT", "PUT", says(501, "NotImplemented"), 1, mirrored, 1, whole, ""},
		{"BadDigest: the bytes changed on the way", "PUT", says(400, "BadDigest"), always, down, 1, gone, "BadDigest"},
		{"RequestTimeout", "PUT", says(400, "RequestTimeout"), 1, mirrored, 1, whole, ""},

		// A success that is none.
		{"200 with an error", "PUT", says(200, "InternalError"), always, down, 5, gone, "InternalError"},
		{"200 with an error once", "PUT", says(200, "InternalError"), 1, mirrored, 1, whole, ""},
		{"200 without an ETag", "PUT", page(200, ""), always, down, 5, gone, "not confirmed"},
		{"200 with a page of a captive portal", "PUT", page(200, "<html>Log in</html>"), always, down, 5, gone, "not confirmed"},
		{"204", "PUT", page(204, "", "ETag", `"x"`), always, down, 5, gone, "not confirmed"},
		{"206", "PUT", page(206, "", "ETag", `"x"`), always, down, 5, gone, "not confirmed"},
		{"the MD5 of other bytes", "PUT", changed(func(h http.Header) { h.Set("ETag", `"00000000000000000000000000000000"`) }), 1, skipped, 1, whole, ""},
		{"the MD5 of other bytes for ever", "PUT", page(200, "", "ETag", `"00000000000000000000000000000000"`), always, down, 5, gone, "MD5"},
		{"stored, but reset before the answer", "PUT", func(w http.ResponseWriter, _ *http.Request, pass func(http.ResponseWriter)) {
			pass(httptest.NewRecorder())
			rst(w)
		}, 1, skipped, 1, whole, ""},

		// What looks odd and is all right.
		{"KMS: an ETag like an MD5 that is none", "PUT", changed(func(h http.Header) {
			h.Set("ETag", `"00000000000000000000000000000000"`)
			h.Set("x-amz-server-side-encryption", "aws:kms")
		}), always, mirrored, 1, whole, ""},
		{"a key of the customer's", "PUT", changed(func(h http.Header) {
			h.Set("ETag", `"00000000000000000000000000000000"`)
			h.Set("x-amz-server-side-encryption-customer-algorithm", "AES256")
		}), always, mirrored, 1, whole, ""},
		{"the ETag of parts", "PUT", changed(func(h http.Header) { h.Set("ETag", `"00000000000000000000000000000000-1"`) }), always, mirrored, 1, whole, ""},
		{"an ETag that is no MD5", "PUT", changed(func(h http.Header) { h.Set("ETag", `W/"some-id"`) }), always, mirrored, 1, whole, ""},
		{"a success whose body stalls", "PUT", stalls(200, "ETag", `"some-id"`), always, mirrored, 1, gone, ""},

		// This object, and no other.
		{"too large for the bucket", "PUT", says(400, "EntityTooLarge"), always, rejected, 1, gone, "EntityTooLarge"},
		{"too large for a proxy", "PUT", page(413, "<html>Request Entity Too Large</html>"), always, rejected, 1, gone, "limits the size"},
		{"a key that is too long", "PUT", says(400, "KeyTooLongError"), always, rejected, 1, gone, "KeyTooLongError"},
		{"metadata that is too large", "PUT", says(400, "MetadataTooLarge"), always, rejected, 1, gone, "MetadataTooLarge"},
		{"an object in the way of a folder", "PUT", says(409, "ObjectParentIsFile"), always, rejected, 1, gone, "ObjectParentIsFile"},
	}
	server := storetest.StartS3(t)
	picture := []byte("\xff\xd8\xff\xe0" + strings.Repeat("a picture ", 10_000) + "\xff\xd9")
	origin := storetest.Serve(t, send(picture))
	t.Run("all", func(t *testing.T) { // returns when the parallel ones are done
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				var met atomic.Int64
				endpoint := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
					if !slices.Contains(strings.Fields(test.at), r.Method) {
						return false
					}
					if n := met.Add(1); n > test.times {
						met.Add(-1)
						return false
					}
					test.fault(w, r, func(w http.ResponseWriter) { server.Forward(w, r) })
					return true
				})
				bucket, err := store.NewS3(store.S3Options{
					Bucket: server.Bucket, Endpoint: endpoint, Region: "us-east-1", Addressing: "path", Concurrency: 1, Timeout: time.Second,
					Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
				})
				if err != nil {
					t.Fatal(err)
				}
				worker, err := mirror.New(bucket, mirror.Options{AllowPrivateSources: true})
				if err != nil {
					t.Fatal(err)
				}
				file := fmt.Sprintf("row-%d", i)
				r, err := worker.Mirror(t.Context(), mirror.Snapshot{FileID: file, Definition: 10, TaskID: "t", URL: origin + "/1.jpg"})
				if err != nil {
					t.Fatal(err)
				}
				got := r.Outcome
				if got == mirror.Failed {
					got = mirror.Outcome(r.Reason)
				}
				if got != test.want {
					t.Errorf("%s (%v), want %s", got, r.Err, test.want)
				}
				if n := met.Load(); n != test.requests && test.requests > 0 || n == 0 {
					t.Errorf("%d requests met the fault, want %d", n, test.requests)
				}
				if r.Elapsed > 20*time.Second {
					t.Errorf("it took %v", r.Elapsed)
				}
				told := ""
				if e, ok := errors.AsType[*store.Error](r.Err); ok {
					told = e.Error() + "\n" + e.Hint
				}
				if !strings.Contains(told, test.says) {
					t.Errorf("it says %q, want %q", told, test.says)
				}
				if line := strings.Replace(told, "\n", "", 1); len(line) > 700 || strings.ContainsFunc(line, unicode.IsControl) || strings.Contains(line, "<html") {
					t.Errorf("not fit for a log: %q", line)
				}
				stored := gone
				if body, ok := server.Get(t, file+"/0"); ok {
					stored = "something else"
					if string(body) == string(picture) {
						stored = whole
					}
				}
				if stored != test.stored {
					t.Errorf("in the bucket: %s, want %s", stored, test.stored)
				}
			})
		}
	})
	if n := strayed.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect, with a signature", n)
	}
}

// newBystander is a host that nobody should ask anything.
func newBystander(t *testing.T) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	return storetest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })), asked
}

// A bucket that can't even be asked.
func TestBucketUnreachable(t *testing.T) {
	plain := storetest.Serve(t, http.NotFoundHandler())
	private := httptest.NewUnstartedServer(http.NotFoundHandler())
	private.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail
	private.StartTLS()
	t.Cleanup(private.Close)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	tests := []struct {
		name, endpoint string
		timeout        time.Duration
		reason         mirror.Reason
		says, hint     string
	}{
		{"nobody listens", "http://" + storetest.FreeAddress(t), time.Minute, mirror.StoreUnavailable, "connection refused", "is the server up"},
		{"https to a port of http", strings.Replace(plain, "http:", "https:", 1), time.Minute, mirror.StoreUnavailable, "HTTPS client", "http or https"},
		{"connected, and nothing more", "http://" + mute.Addr().String(), time.Second, mirror.StoreUnavailable, "no answer in time", "--s3-endpoint"},
		{"a certificate that nobody vouches for", private.URL, time.Minute, mirror.StoreDenied, "unknown authority", "SSL_CERT_FILE"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bucket, err := store.NewS3(store.S3Options{
				Bucket: "pictures", Endpoint: test.endpoint, Region: "us-east-1", Concurrency: 1, Timeout: test.timeout,
				Credentials: store.S3Credentials{AccessKeyID: "a", SecretAccessKey: "b"},
			})
			if err != nil {
				t.Fatal(err)
			}
			worker, err := mirror.New(bucket, mirror.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := worker.Mirror(t.Context(), mirror.Snapshot{FileID: "1", Definition: 10, URL: "http://192.0.2.1/1.jpg"})
			if err != nil || r.Reason != test.reason || r.Attempts != 0 || !strings.Contains(fmt.Sprint(r.Err), test.says) {
				t.Errorf("%+v, %v, want %s and %q", r, err, test.reason, test.says)
			}
			if e, ok := errors.AsType[*store.Error](r.Err); !ok || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("%#v, want a hint about %s", r.Err, test.hint)
			}
		})
	}
}
