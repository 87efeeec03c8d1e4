package vodtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
)

// client is Tencent's own, which signs by code that is not ours.
type client struct {
	*common.Client
	t testing.TB
}

func newClient(t testing.TB, s *vodtest.Server, key string, change func(http.Header)) client {
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint, p.Language = "HTTP", strings.TrimPrefix(s.URL, "http://"), "en-US"
	c := common.NewCommonClient(common.NewCredential("id", key), "", p)
	c.WithHttpTransport(tamper{change})
	return client{c, t}
}

// tamper changes requests that are signed already.
type tamper struct{ change func(http.Header) }

func (t tamper) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.change != nil {
		t.change(r.Header)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// ask gives the answer as text, or the error's code.
func (c client) ask(action, parameters string) string {
	c.t.Helper()
	r := tchttp.NewCommonRequest("vod", "2018-07-17", action)
	if err := r.SetActionParameters(parameters); err != nil {
		c.t.Fatal(err)
	}
	answer := tchttp.NewCommonResponse()
	if err := c.Send(r, answer); err != nil {
		code, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "[TencentCloudSDKError] Code="), ",")
		return code
	}
	return string(answer.GetBody())
}

func TestSignatures(t *testing.T) {
	s := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "key", Skew: time.Minute})
	for _, test := range []struct {
		name, key string
		change    func(http.Header)
		want      string
	}{
		{"right", "key", nil, `CountOfEventsToPull`},
		{"wrong key", "other", nil, "AuthFailure.SignatureFailure"},
		{"unknown id", "key", func(h http.Header) {
			h.Set("Authorization", strings.Replace(h.Get("Authorization"), "=id/", "=nobody/", 1))
		}, "AuthFailure.SecretIdNotFound"},
		{"changed content type", "key", func(h http.Header) { h.Set("Content-Type", "application/json; charset=utf-8") }, "AuthFailure.SignatureFailure"},
		{"changed time", "key", func(h http.Header) { h.Set("X-TC-Timestamp", fmt.Sprint(time.Now().Unix()+2)) }, "AuthFailure.SignatureFailure"},
		{"old", "key", func(h http.Header) { h.Set("X-TC-Timestamp", "1700000000") }, "AuthFailure.SignatureExpire"},
		{"a token that nobody has", "key", func(h http.Header) { h.Set("X-TC-Token", "token") }, "AuthFailure.TokenFailure"},
		{"another version", "key", func(h http.Header) { h.Set("X-TC-Version", "2024-07-18") }, "NoSuchVersion"},
		{"another action", "key", func(h http.Header) { h.Set("X-TC-Action", "DeleteMedia") }, "InvalidAction"},
		{"unsigned", "key", func(h http.Header) { h.Del("Authorization") }, "AuthFailure"},
	} {
		if got := newClient(t, s, test.key, test.change).ask("DescribeEventsState", "{}"); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	late := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "key", Skew: time.Nanosecond})
	if got := newClient(t, late, "key", nil).ask("DescribeEventsState", "{}"); got != "AuthFailure.SignatureExpire" {
		t.Errorf("a clock that is off: %s", got)
	}
	// A body that is not the one that was signed.
	r, _ := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(`{"X":1}`))
	newClient(t, s, "key", func(h http.Header) { r.Header = h.Clone() }).ask("DescribeEventsState", "{}")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); !strings.Contains(string(text), "AuthFailure.SignatureFailure") {
		t.Errorf("a changed body is answered with %s", text)
	}
}

func TestRequests(t *testing.T) {
	s := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "key", SubAppID: 7, Poll: time.Millisecond, Hide: 300 * time.Millisecond})
	c := newClient(t, s, "key", nil)
	for _, test := range []struct{ action, parameters, want string }{
		{"PullEvents", `{"SubAppId":7}`, "ResourceNotFound"},
		{"PullEvents", `{}`, "InvalidParameterValue.SubAppId"},
		{"PullEvents", `{"SubAppId":8}`, "InvalidParameterValue.SubAppId"},
		{"PullEvents", `{"SubAppId":7,"Limit":16}`, "UnknownParameter"},
		{"ConfirmEvents", `{"SubAppId":7,"EventHandles":[]}`, "InvalidParameterValue"},
		{"ConfirmEvents", `{"SubAppId":7,"EventHandles":["nobody's"]}`, "InvalidParameterValue.EventHandles"},
		{"ConfirmEvents", `{"SubAppId":7,"EventHandles":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]}`, "InvalidParameterValue"},
		{"ConfirmEvents", `{"SubAppId":7,"EventHandles":"x"}`, "InvalidParameter"},
		{"SearchMedia", `{"SubAppId":7,"Offset":4901,"Limit":100}`, "InvalidParameterValue.Limit"},
		{"SearchMedia", `{"SubAppId":7,"Offset":4900,"Limit":100}`, `"TotalCount":0`},
		{"SearchMedia", `{"SubAppId":7,"Sort":{"Field":"Name","Order":"Asc"}}`, "InvalidParameterValue.Sort"},
		{"SearchMedia", `{"SubAppId":7,"Filters":["snapshots"]}`, "InvalidParameterValue.Filters"},
		{"DescribeMediaInfos", `{"SubAppId":7,"FileIds":[]}`, "InvalidParameterValue.FileIdsEmpty"},
	} {
		if got := c.ask(test.action, test.parameters); !strings.HasPrefix(got, test.want) && !strings.Contains(got, `"TotalCount":0`) {
			t.Errorf("%s %s: %s, want %s", test.action, test.parameters, got, test.want)
		}
	}
	if s.Calls("PullEvents") != 4 {
		t.Errorf("%d pulls were counted", s.Calls("PullEvents"))
	}
}

// Pulled events are hidden for a while, come back under another handle, and can't be confirmed under the old one.
func TestRedelivery(t *testing.T) {
	s := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "key", Poll: time.Second, Hide: 300 * time.Millisecond})
	c := newClient(t, s, "key", nil)
	for i := range 17 {
		s.Push(fmt.Sprintf(`{"EventType":"X%d"}`, i))
	}
	handle := func(answer string) string {
		_, rest, _ := strings.Cut(answer, `"EventHandle":"`)
		h, _, _ := strings.Cut(rest, `"`)
		return h
	}
	first := c.ask("PullEvents", "{}")
	if n := strings.Count(first, "EventHandle"); n != 16 {
		t.Errorf("%d events in one pull, want 16", n)
	}
	if second := c.ask("PullEvents", "{}"); strings.Count(second, "EventHandle") != 1 {
		t.Errorf("the second pull gives %s, want the one that is left", second)
	}
	again := c.ask("PullEvents", "{}") // waits until they are back
	if handle(again) == "" || handle(again) == handle(first) || !strings.Contains(again, `"X0"`) {
		t.Errorf("they come back as %s", again)
	}
	if got := c.ask("ConfirmEvents", fmt.Sprintf(`{"EventHandles":[%q]}`, handle(first))); got != "InvalidParameterValue.EventHandles" || s.Unconfirmed() != 17 {
		t.Errorf("an old handle: %s, %d unconfirmed", got, s.Unconfirmed())
	}
	if got := c.ask("ConfirmEvents", fmt.Sprintf(`{"EventHandles":[%q]}`, handle(again))); !strings.Contains(got, "RequestId") || s.Unconfirmed() != 16 {
		t.Errorf("a young handle: %s, %d unconfirmed", got, s.Unconfirmed())
	}
}

func TestRate(t *testing.T) {
	s := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "key", Rate: 3})
	c := newClient(t, s, "key", nil)
	refused := 0
	for range 8 {
		if c.ask("DescribeEventsState", "{}") == "RequestLimitExceeded" {
			refused++
		}
	}
	if refused < 2 || refused != s.Throttled() {
		t.Errorf("%d of 8 calls were refused, %d counted; 3 a second are allowed", refused, s.Throttled())
	}
}

// A search reaches 5,000, from either end of the same order.
func TestSearch(t *testing.T) {
	s := vodtest.Start(t, vodtest.Options{SecretID: "id", SecretKey: "key"})
	c := newClient(t, s, "key", nil)
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	media := make([]vodtest.Media, 6000)
	for i := range media {
		media[i] = vodtest.Media{FileID: fmt.Sprintf("f%04d", i), CreateTime: at}
	}
	s.SetMedia(media...)
	for order, want := range map[string]string{"Asc": "f4999", "Desc": "f1000"} {
		got := c.ask("SearchMedia", fmt.Sprintf(`{"Sort":{"Field":"CreateTime","Order":%q},"Offset":4999,"Limit":1}`, order))
		if !strings.Contains(got, want) || !strings.Contains(got, `"TotalCount":5000`) {
			t.Errorf("the last that %s reaches is %s, want %s of 5000", order, got, want)
		}
	}
}
