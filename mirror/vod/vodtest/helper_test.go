package vodtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
)

var credential = Options{SecretID: "AKIDtest", SecretKey: "secret"}

// response is what a call is answered.
type response struct {
	Error               fault
	RequestId           string
	EventSet            []map[string]any
	CountOfEventsToPull int
	TotalCount          int
	MediaInfoSet        []struct {
		FileId                   string
		BasicInfo                *struct{ CreateTime string }
		SnapshotByTimeOffsetInfo any
	}
	NotExistFileIdSet []string
}

func (r *response) handles() []string {
	var handles []string
	for _, e := range r.EventSet {
		handles = append(handles, e["EventHandle"].(string))
	}
	return handles
}

func (r *response) files() string {
	var files string
	for _, m := range r.MediaInfoSet {
		files += m.FileId + " "
	}
	return files
}

// request makes a call that is signed as it should be.
func request(t testing.TB, s *Server, action, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Path = "/"
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-TC-Action": action, "X-TC-Version": "2018-07-17", "X-TC-Language": "en-US",
	} {
		r.Header.Set(name, value)
	}
	sign(r, body, time.Now())
	return r
}

func sign(r *http.Request, body string, at time.Time) {
	r.Header.Set("X-TC-Timestamp", strconv.FormatInt(at.Unix(), 10))
	r.Header.Set("Authorization", authorized(r, body, at, "AKIDtest", "vod", "secret", at.UTC().Format(time.DateOnly)))
}

func authorized(r *http.Request, body string, at time.Time, id, service, key, date string) string {
	s, _ := signature(r, []byte(body), []string{"content-type", "host", "x-tc-action"}, service, at.Unix(), key)
	return fmt.Sprintf("TC3-HMAC-SHA256 Credential=%s/%s/%s/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature=%s", id, date, service, s)
}

func send(r *http.Request) (*response, error) {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	var envelope struct{ Response response }
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, fmt.Errorf("%s: %w", body, err)
	}
	if answer.StatusCode != http.StatusOK || envelope.Response.RequestId == "" {
		return nil, fmt.Errorf("status %d, %s", answer.StatusCode, body)
	}
	return &envelope.Response, nil
}

// try makes a call and gives what it is answered, also where that is an error.
func try(t testing.TB, s *Server, action, body string) *response {
	t.Helper()
	r, err := send(request(t, s, action, body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// call makes a call that must not fail.
func call(t testing.TB, s *Server, action, body string) *response {
	t.Helper()
	r := try(t, s, action, body)
	if r.Error != (fault{}) {
		t.Fatalf("%s %s: %+v", action, body, r.Error)
	}
	return r
}

// refused makes a call that must fail with a code.
func refused(t testing.TB, s *Server, action, body, code string) {
	t.Helper()
	if r := try(t, s, action, body); r.Error.Code != code {
		t.Errorf("%s %.100s: got %+v, want the error %s", action, body, r.Error, code)
	}
}

func confirmation(handles ...string) string {
	body, err := json.Marshal(map[string][]string{"EventHandles": handles})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// deadline keeps a test that waits for an answer from hanging.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
