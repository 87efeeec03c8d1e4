package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

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
	if e.Hint = s.hint(r); e.Hint == "" && e.Kind == Denied {
		e.Hint = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they are allowed to do"
	}
	return e
}

// s3Text says what happened without the request's URL, and with the service's own code.
func s3Text(err error, r minio.ErrorResponse) error {
	var ue *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.As(err, &ue):
		return ue.Err
	case r.StatusCode == 0:
		return err
	}
	return fmt.Errorf("%s (%d): %s", r.Code, r.StatusCode, r.Message)
}

// s3SetUp are the codes that concern every object alike.
var s3SetUp = map[string]bool{
	"AccessDenied": true, "AccountProblem": true, "AllAccessDisabled": true, "AuthorizationHeaderMalformed": true, "ExpiredToken": true,
	"InvalidAccessKeyId": true, "InvalidBucketName": true, "InvalidRegion": true, "InvalidSecurity": true, "InvalidToken": true,
	"NoSuchBucket": true, "NotSignedUp": true, "PermanentRedirect": true, "RequestTimeTooSkewed": true, "SignatureDoesNotMatch": true,
	"TemporaryRedirect": true,
}

func s3Kind(r minio.ErrorResponse) Kind {
	switch code := r.StatusCode; {
	case s3SetUp[r.Code], code == http.StatusUnauthorized, code == http.StatusForbidden, code >= 300 && code < 400:
		return Denied
	case code == 0, code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code == http.StatusConflict:
		return Unavailable
	default:
		// BadDigest too: the bytes changed on the way, which may not happen again, but minio-go's caller has them proven.
		if r.Code == "BadDigest" || r.Code == "RequestTimeout" || r.Code == "IncompleteBody" {
			return Unavailable
		}
		return Rejected
	}
}

func (s *S3) hint(r minio.ErrorResponse) string {
	o := s.options
	switch r.Code {
	case "NoSuchBucket":
		return fmt.Sprintf("create the bucket %q, or mend --to", o.Bucket)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	case "AccessDenied", "AllAccessDisabled":
		return fmt.Sprintf("the credentials need s3:ListBucket on %q, and s3:GetObject and s3:PutObject on what is in it", o.Bucket)
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect":
		if r.Region != "" && r.Region != o.Region {
			return fmt.Sprintf("set --s3-region %s", r.Region)
		}
		return "check --s3-region and --s3-addressing"
	case "RequestTimeTooSkewed":
		return "set this machine's clock"
	}
	if r.StatusCode == 0 {
		return "check --s3-endpoint (or AWS_ENDPOINT_URL_S3): is that address right, http or https, and is the server up?"
	}
	return ""
}
