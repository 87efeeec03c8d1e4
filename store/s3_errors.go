package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// fail turns minio-go's error into an Error, or into the caller's context's own.
func (s *S3) fail(ctx context.Context, op, key string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r := minio.ToErrorResponse(err)
	e := &Error{Kind: s3Kind(r), Op: op, Key: key, Err: s3Text(err, r)}
	if key == "" && e.Kind == Rejected {
		e.Kind = Denied // what refuses a listing refuses everything
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Kind, e.Whole, e.Hint = Denied, true, "is --s3-endpoint right? A private certificate authority goes into SSL_CERT_FILE"
		return e
	}
	e.Whole = e.Kind == Denied && !(r.StatusCode == http.StatusForbidden && !s3SetUp[r.Code])
	e.Hint = s.hint(r)
	return e
}

// s3Text says what happened without the request's URL, and with the service's own code.
func s3Text(err error, r minio.ErrorResponse) error {
	var ue *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.As(err, &ue):
		if strings.HasPrefix(ue.Err.Error(), "Connection closed by foreign host") { // minio-go's own words, with the URL
			return errors.New("the connection was closed before there was an answer")
		}
		return plain(ue.Err)
	case r.StatusCode == 0:
		return plain(err)
	case !s3Code.MatchString(r.Code): // a load balancer's page, say
		return fmt.Errorf("%s, and not in the way of an S3 service", printable(r.Code, 100))
	}
	return fmt.Errorf("%s (%d): %s", r.Code, r.StatusCode, printable(r.Message, 300))
}

// s3Code is the form of a service's error codes. Where an answer has none, minio-go puts the status line in its place.
var s3Code = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._:-]{0,99}$`)

// printable makes a service's text fit for one line of a log.
func printable(text string, limit int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), notPrintable), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

// plain is the error itself, unless its text is not fit for a line of a log.
func plain(err error) error {
	if text := err.Error(); printable(text, 300) != text {
		return errors.New(printable(text, 300))
	}
	return err
}

// s3SetUp are the codes that concern every object alike.
var s3SetUp = codes("AccountProblem AllAccessDisabled AuthorizationHeaderMalformed ExpiredToken ExpiredTokenException InvalidAccessKeyId InvalidBucketName " +
	"InvalidRegion InvalidSecurity InvalidToken NoSuchBucket NotSignedUp PermanentRedirect RequestTimeTooSkewed SignatureDoesNotMatch TemporaryRedirect " +
	"XAdminUserNotFound")

// s3Object are the codes for what is wrong with this very object. Other codes of 4xx are nothing that another object would be spared.
var s3Object = codes("EntityTooLarge EntityTooSmall ExistingObjectIsDirectory InvalidArgument InvalidObjectName InvalidURI KeyTooLong KeyTooLongError " +
	"MaxMessageLengthExceeded MetadataTooLarge ObjectParentIsFile XMinioInvalidObjectName XMinioObjectExistsAsDirectory XMinioParentIsObject")

// s3Passing are codes of 4xx that may not come again. BadDigest is one: the bytes changed on the way, as the caller has them proven.
var s3Passing = codes("BadDigest IncompleteBody InvalidDigest OperationAborted RequestTimeout Throttling ThrottlingException XAmzContentSHA256Mismatch")

func codes(list string) map[string]bool {
	set := map[string]bool{}
	for _, code := range strings.Fields(list) {
		set[code] = true
	}
	return set
}

func s3Kind(r minio.ErrorResponse) Kind {
	switch status := r.StatusCode; {
	case s3SetUp[r.Code]:
		return Denied
	case s3Object[r.Code], status == http.StatusRequestEntityTooLarge, status == http.StatusRequestHeaderFieldsTooLarge:
		return Rejected
	case s3Passing[r.Code], status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusPreconditionFailed,
		status == http.StatusTooManyRequests:
		return Unavailable
	case status >= 300 && status < 500, status == http.StatusNotImplemented:
		return Denied
	}
	return Unavailable
}

func (s *S3) hint(r minio.ErrorResponse) string {
	o := s.options
	switch r.Code {
	case "NoSuchBucket":
		return fmt.Sprintf("create the bucket %q, or mend --to", o.Bucket)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "ExpiredTokenException", "XAdminUserNotFound":
		return "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect":
		return s.regionHint(r)
	case "InvalidStorageClass":
		return "the service has no such class: mend --storage-class"
	case "InvalidTag":
		return "mend --tag"
	case "RequestTimeTooSkewed":
		hint := "set this machine's clock"
		switch ahead := time.Duration(s.answers.ahead.Load()).Round(time.Second); {
		case ahead > 0:
			hint += fmt.Sprintf(": the service's is %s ahead of it", ahead)
		case ahead < 0:
			hint += fmt.Sprintf(": the service's is %s behind it", -ahead)
		}
		return hint
	}
	switch status := r.StatusCode; {
	case status == 0:
		return "check --s3-endpoint (or AWS_ENDPOINT_URL_S3): is that address right, http or https, and is the server up?"
	case status == http.StatusForbidden:
		return fmt.Sprintf("the credentials need s3:ListBucket on %q, and s3:GetObject and s3:PutObject on what is in it", o.Bucket) + o.Headers.permissions()
	case strings.HasPrefix(r.Code, "KMS."), strings.HasPrefix(r.Code, "kms:"): // Amazon's and MinIO's
		return "check --sse-kms-key-id: is there such a key in the bucket's region, enabled, and may these credentials use it (kms:GenerateDataKey)?"
	case status >= 300 && status < 400:
		return s.regionHint(r)
	case status == http.StatusRequestEntityTooLarge:
		return "something between here and the bucket, or the bucket, limits the size"
	case s3Kind(r) != Denied:
		return ""
	case status == http.StatusUnauthorized:
		return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they are allowed to do"
	}
	if names := o.Headers.settings(); len(names) > 0 && (r.StatusCode == http.StatusBadRequest || r.StatusCode == http.StatusNotImplemented) {
		return "does the service know " + strings.Join(names, ", ") + "? Try without"
	}
	return "is --s3-endpoint (or AWS_ENDPOINT_URL_S3) an S3 service, and are --s3-addressing and --s3-region right?"
}

func (s *S3) regionHint(r minio.ErrorResponse) string {
	if r.Region != "" && r.Region != s.options.Region {
		return "set --s3-region " + printable(r.Region, 60)
	}
	return "check --s3-region and --s3-addressing"
}
