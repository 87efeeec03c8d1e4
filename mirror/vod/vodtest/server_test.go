package vodtest

import (
	"strings"
	"testing"
	"time"
)

func TestParameters(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", SubAppID: 7, Poll: time.Millisecond})
	for _, test := range []struct{ action, body, code string }{
		{"PullEvents", `{"SubAppId":7}`, "ResourceNotFound"},
		{"PullEvents", `{}`, "InvalidParameterValue.SubAppId"},
		{"PullEvents", `{"SubAppId":8}`, "InvalidParameterValue.SubAppId"},
		{"PullEvents", `{"SubAppId":"7"}`, "InvalidParameter"},
		{"PullEvents", `{"subAppId":7}`, "InvalidParameterValue.SubAppId"},
		{"PullEvents", `{"SubAppId":7,"Size":1}`, "UnknownParameter"},
		{"PullEvents", `{"SubAppId":7,"extInfo":""}`, "UnknownParameter"},
		{"PullEvents", `[]`, "InvalidParameter"},
		{"PullEvents", ``, "InvalidParameter"},
		{"PullEvents", `{"SubAppId":7} {}`, "InvalidParameter"},
		{"DescribeEventsState", `{"SubAppId":7,"ExtInfo":""}`, "UnknownParameter"},
		{"SearchMedia", `{"SubAppId":7,"CreateTime":{"after":"2018-10-01T10:00:00Z"}}`, "UnknownParameter"},
		{"SearchMedia", `{"SubAppId":7,"CreateTime":5}`, "InvalidParameter"},
		{"SearchMedia", `{"SubAppId":7,"Offset":-1}`, "InvalidParameter"},
		{"SearchMedia", `{"SubAppId":7,"FileIds":[1]}`, "InvalidParameter"},
		{"DeleteMedia", `{"SubAppId":7}`, "InvalidAction"},
		{"PullEvents", `{"ExtInfo":"` + strings.Repeat("x", maxBody) + `"}`, "RequestSizeLimitExceeded"},
	} {
		refused(t, s, test.action, test.body, test.code)
	}
	for _, id := range []string{"0", "7"} {
		refused(t, Start(t, credential), "DescribeEventsState", `{"SubAppId":`+id+`}`, "InvalidParameterValue.SubAppId")
	}
}

func TestLanguage(t *testing.T) {
	s := Start(t, credential)
	for language, want := range map[string]string{"en-US": "injected", "zh-CN": chinese, "": chinese} {
		s.Fail("SearchMedia", "InternalError", "injected", 1)
		r := request(t, s, "SearchMedia", "{}")
		r.Header.Set("X-TC-Language", language)
		if got, err := send(r); err != nil || got.Error != (fault{"InternalError", want}) {
			t.Errorf("%q: got %+v, %v, want the message %q", language, got, err, want)
		}
	}
}

func TestForbid(t *testing.T) {
	s := Start(t, credential)
	s.Forbid("SearchMedia")
	got := try(t, s, "SearchMedia", "{}").Error
	if got.Code != "UnauthorizedOperation" || !strings.Contains(got.Message, "(vod:SearchMedia)") || !strings.Contains(got.Message, "qcs::vod:::") {
		t.Errorf("got %+v", got)
	}
	call(t, s, "DescribeEventsState", "{}")
}

func TestFail(t *testing.T) {
	s := Start(t, credential)
	s.Fail("SearchMedia", "InternalError", "first", 2)
	s.Fail("SearchMedia", "InternalError.DBError", "second", 1)
	call(t, s, "DescribeEventsState", "{}")
	for _, want := range []string{"InternalError", "InternalError", "InternalError.DBError", ""} {
		refused(t, s, "SearchMedia", "{}", want)
	}
	if got := s.Calls("SearchMedia"); got != 4 {
		t.Errorf("got %d calls, want 4", got)
	}
}

func TestWindow(t *testing.T) {
	var w window
	begin := time.Now()
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {500 * time.Millisecond, true}, {600 * time.Millisecond, false}, {999 * time.Millisecond, false},
		{time.Second, true}, {1400 * time.Millisecond, false}, {1500 * time.Millisecond, true},
	} {
		if got := w.admit(begin.Add(step.at), 2); got != step.want {
			t.Errorf("after %s: got %t, want %t", step.at, got, step.want)
		}
	}
}

func TestRate(t *testing.T) {
	s := Start(t, Options{SecretID: "AKIDtest", SecretKey: "secret", Rate: 3})
	throttled := 0
	for range 60 {
		switch got := try(t, s, "DescribeEventsState", "{}").Error.Code; got {
		case "":
		case "RequestLimitExceeded":
			throttled++
		default:
			t.Fatal(got)
		}
	}
	call(t, s, "SearchMedia", "{}") // each action has a limit of its own
	if throttled == 0 || s.Throttled() != throttled || s.Calls("DescribeEventsState") != 60 {
		t.Errorf("got %d throttled, counted %d of %d calls", throttled, s.Throttled(), s.Calls("DescribeEventsState"))
	}
}

func TestDelay(t *testing.T) {
	s := Start(t, credential)
	s.Delay("DescribeEventsState", 100*time.Millisecond)
	begin := time.Now()
	call(t, s, "DescribeEventsState", "{}")
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("the answer came after %s", took)
	}
}
