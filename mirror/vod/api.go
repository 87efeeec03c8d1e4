package vod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"golang.org/x/time/rate"
)

// API is a client of VOD's API. It is safe for concurrent use, and tries nothing twice: that is the callers', who know what is
// worth it. Its errors are *APIError or the context's. Source: Tencent Cloud VOD documentation, API 2018-07-17.
type API struct {
	options APIOptions
	client  *common.Client
	limits  map[string]*rate.Limiter // by action
}

// APIOptions say which API, and for whom.
type APIOptions struct {
	// Endpoint is a host, or a URL without a path; "" is DefaultEndpoint.
	Endpoint string
	// SubAppID is the application; accounts opened since 2023-12-25 must name one. 0 is the account's oldest.
	SubAppID    uint64
	Credentials Credentials
	// Rate is how many media queries are made in a second at most; Tencent documents no limit. 0 is DefaultRate.
	Rate float64
	// UserAgent goes with each request: letters, digits and -_ ,;. only.
	UserAgent string
}

// Defaults that the settings share. The other documented host is vod.intl.tencentcloudapi.com, of international accounts.
const (
	DefaultEndpoint = "vod.tencentcloudapi.com"
	DefaultRate     = 10
)

const (
	apiService  = "vod"
	apiVersion  = "2018-07-17"
	maxAnswer   = 64 << 20 // bytes: 16 events, or a page of media, with room to spare
	callTimeout = 30 * time.Second
	// eventRate stays below the 100 calls a second that are documented for the reliable callback.
	eventRate = 80
)

// NewAPI makes the client. It asks nobody.
func NewAPI(o APIOptions) (*API, error) {
	scheme, host, err := splitEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	o.Endpoint = host
	if o.Rate <= 0 {
		o.Rate = DefaultRate
	}
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = scheme, host
	p.HttpProfile.ReqTimeout = 0 // a context says it for each call
	p.Language = "en-US"
	client := common.NewCommonClient(o.Credentials.credential, "", p)
	client.WithHttpTransport(plainTransport{&http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
	}})
	if o.UserAgent != "" {
		client.WithRequestClient(o.UserAgent)
	}
	a := &API{options: o, client: client, limits: map[string]*rate.Limiter{}}
	queries := rate.NewLimiter(rate.Limit(o.Rate), 1)
	for _, action := range []string{actionSearch, actionDescribe} {
		a.limits[action] = queries
	}
	for _, action := range []string{actionPull, actionConfirm} {
		a.limits[action] = rate.NewLimiter(eventRate, eventRate/4)
	}
	return a, nil
}

func splitEndpoint(endpoint string) (scheme, host string, _ error) {
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", "", errors.New("the VOD endpoint must be a host, or https://HOST without a path")
	}
	return strings.ToUpper(u.Scheme), u.Host, nil
}

// call asks for one action and reads the answer's Response into out.
func (a *API) call(ctx context.Context, action string, parameters map[string]any, out any) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if l := a.limits[action]; l != nil {
		if err := l.Wait(limited); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &APIError{Action: action, Kind: Throttled, Message: "too many calls wait for their turn"}
		}
	}
	if a.options.SubAppID != 0 {
		parameters["SubAppId"] = a.options.SubAppID
	}
	request := tchttp.NewCommonRequest(apiService, apiVersion, action)
	request.SetContext(limited)
	if err := request.SetActionParameters(parameters); err != nil {
		return err
	}
	var answer rawAnswer
	if err := a.client.Send(request, &answer); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return a.fail(action, err)
	}
	var envelope struct{ Response json.RawMessage }
	err := json.Unmarshal(answer.body, &envelope)
	if err == nil && null(envelope.Response) {
		err = errors.New("no Response in it")
	}
	if err == nil {
		err = json.Unmarshal(envelope.Response, out)
	}
	if err != nil {
		return &APIError{Action: action, Kind: Misunderstood, Message: fmt.Sprintf("the answer is not VOD's: %.200q", err)}
	}
	return nil
}

// rawAnswer keeps an answer as it came: the SDK's own would turn its numbers into floats.
type rawAnswer struct {
	tchttp.BaseResponse
	body []byte
}

func (r *rawAnswer) UnmarshalJSON(b []byte) error {
	r.body = bytes.Clone(b)
	return nil
}

// plainTransport lets through what VOD answers, and no more than that: the SDK reads and unpacks whatever comes without a limit,
// and repeats all of it in its errors.
type plainTransport struct{ http.RoundTripper }

func (t plainTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
		_ = resp.Body.Close()
		return nil, strangeStatus(resp.StatusCode) // VOD's errors come with 200
	}
	resp.Header.Del("Content-Type") // of an event stream, for one, which the SDK would read in a goroutine of its own
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}

// strangeStatus is an answer that VOD never gives.
type strangeStatus int

func (s strangeStatus) Error() string { return fmt.Sprintf("%d %s", int(s), http.StatusText(int(s))) }
