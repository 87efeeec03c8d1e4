package vod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
)

// APIErrorKind says what sort of trouble the API makes, as far as a caller acts on it.
type APIErrorKind string

const (
	// Throttled: too many calls for the moment.
	Throttled APIErrorKind = "throttled"
	// Unavailable: no answer, or an internal error. It may pass.
	Unavailable APIErrorKind = "unavailable"
	// Denied: credentials, permission, clock or application are wrong, or expired. Somebody must mend it.
	Denied APIErrorKind = "denied"
	// Refused: this very call is, and would be again.
	Refused APIErrorKind = "refused"
	// Misunderstood: whoever answers does not speak VOD's language.
	Misunderstood APIErrorKind = "misunderstood"
)

// APIErrorKinds are all of them.
var APIErrorKinds = []APIErrorKind{Throttled, Unavailable, Denied, Refused, Misunderstood}

// APIError is what came instead of an answer.
type APIError struct {
	Action  string // "PullEvents"
	Kind    APIErrorKind
	Code    string // Tencent's, "" when it was not VOD who answered
	Message string // printable, and no secret
	// RequestID is what Tencent's support asks for; may be "".
	RequestID string
	// Hint is what to do about it, where that is known.
	Hint string
}

func (e *APIError) Error() string {
	text := "calling " + e.Action + ": "
	if e.Code != "" {
		text += e.Code + ": "
	}
	text += e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// fail turns the SDK's error into ours. The SDK's texts may hold whole answers.
func (a *API) fail(action string, err error) error {
	e := &APIError{Action: action, Kind: Unavailable, Message: "no answer"}
	var sdk *tcerr.TencentCloudSDKError
	var strange strangeStatus
	switch {
	case errors.As(err, &strange):
		e.Message = "the answer is not VOD's: " + strange.Error()
		if strange < 500 && strange != http.StatusTooManyRequests { // else something on the way is in trouble
			e.Kind = Misunderstood
		}
	case !errors.As(err, &sdk):
		e.Message = printable(err.Error())
	case strings.HasPrefix(sdk.Code, "ClientError.NetworkError"):
		e.Message = "no answer from " + a.options.Endpoint + ": " + printable(networkText(sdk))
	case strings.HasPrefix(sdk.Code, "ClientError.IOError"):
		e.Message = "the answer broke off"
	case strings.HasPrefix(sdk.Code, "ClientError."):
		e.Kind, e.Message = Misunderstood, "the answer is not VOD's"
	default:
		e.Kind, e.Code, e.Message, e.RequestID = kindOf(sdk.Code), printable(sdk.Code), printable(sdk.Message), printable(sdk.RequestId)
	}
	e.Hint = a.hint(e)
	return e
}

func networkText(err *tcerr.TencentCloudSDKError) string {
	cause := errors.Unwrap(err)
	for next := cause; next != nil; next = errors.Unwrap(next) {
		cause = next // the innermost says it without the URL around it
	}
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return "no byte in time"
	case cause == nil:
		return "unknown"
	}
	return cause.Error()
}

// apiErrorKinds are by the beginning of Tencent's code; the first that fits counts.
// Source: Tencent Cloud API documentation, "Common error codes"; VOD documentation, product 266, "Error codes".
var apiErrorKinds = []struct {
	code string
	kind APIErrorKind
	hint string
}{
	{"RequestLimitExceeded", Throttled, ""},
	{"LimitExceeded", Throttled, ""},
	{"AuthFailure.SignatureExpire", Denied, "set this machine's clock"},
	{"AuthFailure.TokenFailure", Denied, "the temporary credentials have expired or are wrong: see that they are renewed"},
	{"AuthFailure.UnauthorizedOperation", Denied, hintCAM},
	{"UnauthorizedOperation", Denied, hintCAM},
	{"AuthFailure", Denied, "check TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or where else the credentials come from"},
	{"InvalidParameterValue.SubAppId", Denied, hintSubApp},
	{"FailedOperation.InvalidVodUser", Denied, hintSubApp},
	{"InvalidParameter.SubAppId", Denied, hintSubApp},
	{"ResourceUnavailable", Denied, "is VOD activated for this account, and is it in order?"},
	{"InvalidAction", Misunderstood, hintEndpoint},
	{"NoSuchVersion", Misunderstood, hintEndpoint},
	{"NoSuchProduct", Misunderstood, hintEndpoint},
	{"UnsupportedProtocol", Misunderstood, hintEndpoint},
	{"InternalError", Unavailable, ""},
	{"FailedOperation", Unavailable, ""},
	{"ServiceUnavailable", Unavailable, ""},
}

const (
	hintCAM      = "the credentials need the CAM permission vod:%s"
	hintSubApp   = "check --vod-sub-app-id: is it an application of this account, and may the credentials use it?"
	hintEndpoint = "check --vod-endpoint: vod.tencentcloudapi.com, or vod.intl.tencentcloudapi.com for international accounts"
)

func kindOf(code string) APIErrorKind {
	for _, k := range apiErrorKinds {
		if strings.HasPrefix(code, k.code) {
			return k.kind
		}
	}
	return Refused
}

func (a *API) hint(e *APIError) string {
	for _, k := range apiErrorKinds {
		if e.Code != "" && strings.HasPrefix(e.Code, k.code) {
			if k.hint == hintCAM {
				return fmt.Sprintf(hintCAM, e.Action)
			}
			return k.hint
		}
	}
	switch {
	case e.Code == "" && e.Kind == Unavailable:
		return "can this machine reach " + a.options.Endpoint + "? Check --vod-endpoint, the network and its DNS"
	case e.Kind == Misunderstood:
		return hintEndpoint
	case a.options.SubAppID == 0:
		return "accounts opened since 2023-12-25 need --vod-sub-app-id"
	}
	return ""
}

// printable makes a stranger's text fit for a line of a log.
func printable(s string) string {
	quoted := fmt.Sprintf("%.300q", s)
	return cmp.Or(quoted[1:len(quoted)-1], "no text")
}
