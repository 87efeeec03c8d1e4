package vodtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// The examples of Tencent's "Signature v3", two of them from before x-tc-action was signed in it.
func TestSignatureVectors(t *testing.T) {
	const payload = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	const example = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
	tests := []struct {
		method, query, contentType, body, key, headers string
		timestamp                                      int64
		want                                           string
	}{
		{"POST", "", "application/json; charset=utf-8", payload, strings.Repeat("*", 32), "content-type;host;x-tc-action", 1551113065,
			"10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"},
		{"POST", "", "application/json; charset=utf-8", payload, example, "content-type;host", 1551113065,
			"72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"},
		{"GET", "?Limit=10&Offset=0", "application/x-www-form-urlencoded", "", example, "content-type;host", 1539084154,
			"5da7a33f6993f0614b047e5df4582db9e9bf4672ba50567dba16c6ccf174c474"},
	}
	for _, test := range tests {
		r, err := http.NewRequest(test.method, "https://cvm.tencentcloudapi.com/"+test.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", test.contentType)
		r.Header.Set("X-TC-Action", "DescribeInstances")
		got, ok := signature(r, []byte(test.body), strings.Split(test.headers, ";"), "cvm", test.timestamp, test.key)
		if !ok || got != test.want {
			t.Errorf("%s %s: got %s, %t, want %s", test.method, test.headers, got, ok, test.want)
		}
	}
}

func TestOfficialClient(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", Token: "token", SubAppID: 1500012345})
	s.Push(`{"EventType":"A"}`)
	settings := profile.NewClientProfile()
	settings.Language = "en-US"
	settings.HttpProfile.Scheme = "HTTP"
	settings.HttpProfile.Endpoint = strings.TrimPrefix(s.URL, "http://")
	pull := func(key, token string) (string, error) {
		client := common.NewCommonClient(common.NewTokenCredential("AKIDtest", key, token), "", settings)
		call := tchttp.NewCommonRequest("vod", "2018-07-17", "PullEvents")
		if err := call.SetActionParameters(map[string]any{"SubAppId": 1500012345}); err != nil {
			t.Fatal(err)
		}
		answer := tchttp.NewCommonResponse()
		err := client.Send(call, answer)
		return string(answer.GetBody()), err
	}
	for _, wrong := range []struct{ key, token, want string }{
		{"other", "token", "AuthFailure.SignatureFailure"}, {"secret", "other", "AuthFailure.TokenFailure"},
	} {
		if _, err := pull(wrong.key, wrong.token); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("key %s, token %s: got %v, want %s", wrong.key, wrong.token, err, wrong.want)
		}
	}
	if body, err := pull("secret", "token"); err != nil || !strings.Contains(body, `"EventType":"A"`) {
		t.Errorf("got %s, %v, want the event", body, err)
	}
}

func TestAuthentication(t *testing.T) {
	s := Start(t, credential)
	const action, body = "DescribeEventsState", "{}"
	now := time.Now()
	today := now.UTC().Format(time.DateOnly)
	authorize := func(r *http.Request, id, service, key, date string) {
		r.Header.Set("Authorization", authorized(r, body, now, id, service, key, date))
	}
	tests := []struct {
		name, code string
		change     func(*http.Request)
	}{
		{"nothing", "", func(*http.Request) {}},
		{"key", "AuthFailure.SignatureFailure", func(r *http.Request) { authorize(r, "AKIDtest", "vod", "other", today) }},
		{"id", "AuthFailure.SecretIdNotFound", func(r *http.Request) { authorize(r, "AKIDother", "vod", "secret", today) }},
		{"service", "AuthFailure.SignatureFailure", func(r *http.Request) { authorize(r, "AKIDtest", "cvm", "secret", today) }},
		{"date", "AuthFailure.SignatureFailure", func(r *http.Request) { authorize(r, "AKIDtest", "vod", "secret", "2019-02-25") }},
		{"scope's service", "AuthFailure.SignatureFailure", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/vod/", "/cvm/", 1))
		}},
		{"scope's date", "AuthFailure.SignatureFailure", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), today, "2019-02-25", 1))
		}},
		{"clock behind", "AuthFailure.SignatureExpire", func(r *http.Request) { sign(r, body, now.Add(-6*time.Minute)) }},
		{"clock ahead", "AuthFailure.SignatureExpire", func(r *http.Request) { sign(r, body, now.Add(6*time.Minute)) }},
		{"clock a little behind", "", func(r *http.Request) { sign(r, body, now.Add(-4*time.Minute)) }},
		{"timestamp", "AuthFailure.SignatureFailure", func(r *http.Request) {
			later := request(t, s, action, body)
			sign(later, body, now.Add(time.Minute))
			r.Header.Set("X-TC-Timestamp", later.Header.Get("X-TC-Timestamp"))
		}},
		{"no timestamp", "InvalidParameter", func(r *http.Request) { r.Header.Del("X-TC-Timestamp") }},
		{"signed header", "AuthFailure.SignatureFailure", func(r *http.Request) { r.Header.Set("X-TC-Action", "PullEvents") }},
		{"signed header lost", "AuthFailure.SignatureFailure", func(r *http.Request) { r.Header.Del("X-TC-Action") }},
		{"query", "AuthFailure.SignatureFailure", func(r *http.Request) { r.URL.RawQuery = "a=b" }},
		{"path", "AuthFailure.SignatureFailure", func(r *http.Request) { r.URL.Path = "/v2" }},
		{"host", "AuthFailure.SignatureFailure", func(r *http.Request) { r.Host = "vod.tencentcloudapi.com" }},
		{"body", "AuthFailure.SignatureFailure", func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }},
		{"token", "AuthFailure.TokenFailure", func(r *http.Request) { r.Header.Set("X-TC-Token", "token") }},
		{"no authorization", "AuthFailure.InvalidAuthorization", func(r *http.Request) { r.Header.Del("Authorization") }},
		{"headers out of order", "AuthFailure.InvalidAuthorization", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "content-type;host", "host;content-type", 1))
		}},
		{"host unsigned", "AuthFailure.InvalidAuthorization", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
		}},
		{"version", "NoSuchVersion", func(r *http.Request) { r.Header.Set("X-TC-Version", "2017-03-12") }},
		{"content type", "UnsupportedProtocol", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
		{"method", "UnsupportedProtocol", func(r *http.Request) { r.Method = http.MethodPut }},
	}
	accepted := 0
	for _, test := range tests {
		r := request(t, s, action, body)
		test.change(r)
		got, err := send(r)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got.Error.Code != test.code {
			t.Errorf("%s: got %+v, want %q", test.name, got.Error, test.code)
		}
		if test.code == "" {
			accepted++
		}
	}
	if got := s.Calls(action); got != accepted {
		t.Errorf("%d calls are counted, want the %d that were accepted", got, accepted)
	}
}
