package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// check says what is wrong with VOD's API and what to do about it.
func TestCheckVOD(t *testing.T) {
	other := storetest.Serve(t, http.NotFoundHandler())
	keys := writeFile(t, "[default]\nsecret_id = vodid\nsecret_key = vodsecretkey\n")
	closed := "http://" + storetest.FreeAddress(t)
	for _, test := range []struct {
		name   string
		change func(*vodtest.Server)
		env    []string
		code   int
		want   []string
	}{
		{"all is well", nil, nil, 0, []string{"ok    vod SearchMedia: 0 media\n", "ok    vod DescribeEventsState: about 1 events wait to be pulled", "ok    vod ConfirmEvents: allowed", "ok    vod PullEvents: not tried"}},
		{"wrong secret", nil, []string{"TENCENTCLOUD_SECRET_KEY=wrong"}, 1, []string{"FAIL  vod SearchMedia: ", "AuthFailure.SignatureFailure", "hint: check TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY"}},
		{"wrong id", nil, []string{"TENCENTCLOUD_SECRET_ID=wrong"}, 1, []string{"AuthFailure.SecretIdNotFound", "hint: check TENCENTCLOUD_SECRET_ID"}},
		{"half of the credentials", nil, []string{"TENCENTCLOUD_SECRET_KEY="}, 1, []string{"FAIL  vod credentials: only one of", "hint: set TENCENTCLOUD_SECRET_ID and"}},
		{"keys in a file", nil, []string{"TENCENTCLOUD_SECRET_ID=", "TENCENTCLOUD_SECRET_KEY=", "TENCENTCLOUD_CREDENTIALS_FILE=" + keys}, 0, []string{"ok    vod SearchMedia: 0 media\n"}},
		{"no keys anywhere", nil, []string{"TENCENTCLOUD_SECRET_ID=", "TENCENTCLOUD_SECRET_KEY="}, 1, []string{"FAIL  vod credentials: finding credentials for Tencent Cloud: ", "hint: set TENCENTCLOUD_SECRET_ID and"}},
		{"missing permission", func(s *vodtest.Server) { s.Forbid("SearchMedia", "ConfirmEvents") }, nil, 1, []string{
			"FAIL  vod SearchMedia: ", "hint: the credentials need the CAM permission vod:SearchMedia", "ok    vod DescribeEventsState", "FAIL  vod ConfirmEvents", "vod:ConfirmEvents"}},
		{"wrong application", nil, []string{"SNAPSHOT_MIRROR_VOD_SUB_APP_ID=7"}, 1, []string{"InvalidParameterValue.SubAppId", "hint: check --vod-sub-app-id"}},
		{"no application", nil, []string{"SNAPSHOT_MIRROR_VOD_SUB_APP_ID="}, 1, []string{"InvalidParameterValue.SubAppId", "hint: check --vod-sub-app-id"}},
		{"another server", nil, []string{"SNAPSHOT_MIRROR_VOD_ENDPOINT=" + other}, 1, []string{"the answer is not VOD's: 404 Not Found", "hint: check --vod-endpoint"}},
		{"nobody there", nil, []string{"SNAPSHOT_MIRROR_VOD_ENDPOINT=" + closed}, 1, []string{"connection refused", "hint: can this machine reach 127.0.0.1"}},
		{"no such host", nil, []string{"SNAPSHOT_MIRROR_VOD_ENDPOINT=vod.invalid"}, 1, []string{"no answer from vod.invalid", "hint: can this machine reach vod.invalid? Check --vod-endpoint, the network and its DNS"}},
		{"no host", nil, []string{"SNAPSHOT_MIRROR_VOD_ENDPOINT=https://x/path"}, 1, []string{"FAIL  vod credentials: --vod-endpoint: the VOD endpoint must be a host"}},
		{"wrong clock", func(s *vodtest.Server) { s.Fail("SearchMedia", "AuthFailure.SignatureExpire", "expired", 1) }, nil, 1, []string{"hint: set this machine's clock"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := vodtest.Start(t, vodOptions)
			if test.change != nil {
				test.change(api)
			}
			api.Push(`{"EventType":"X"}`) // a pull would be seen
			env := append(append(vodSettings(api), "SNAPSHOT_MIRROR_PULL=true"), test.env...)
			got := runCommand(t, command(t, env, "check", "--to", t.TempDir()))
			for _, want := range append(test.want, "ok    destination put: allowed, synced to the disk") {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("no %q", want)
				}
			}
			if got.code != test.code || got.stderr != "" || strings.Contains(got.stdout, "vodsecretkey") || api.Calls("PullEvents") > 0 {
				t.Errorf("exit code %d, want %d; %d pulls", got.code, test.code, api.Calls("PullEvents"))
			}
			if t.Failed() {
				t.Logf("stdout:\n%sstderr:\n%s", got.stdout, got.stderr)
			}
		})
	}
}

// check tries out a bucket, or says at which point it can't be used.
func TestCheckBucket(t *testing.T) {
	server := storetest.StartS3(t)
	for _, test := range []struct {
		name string
		env  []string
		to   string
		code int
		want []string
	}{
		{"a bucket", nil, "s3://" + server.Bucket + "/below", 0, []string{
			"Looking at s3://pictures/below, which gets one small object, .snapshot-mirror-probe, overwritten each time.\n",
			"ok    destination list: allowed", "ok    destination put: allowed", "ok    destination metadata: kept", "ok    destination conditional put: honoured"}},
		{"no such bucket", nil, "s3://nothing", 1, []string{"FAIL  destination list: NoSuchBucket", "hint: create the bucket"}},
		{"wrong secret", []string{"AWS_SECRET_ACCESS_KEY=wrong"}, "s3://" + server.Bucket, 1, []string{"FAIL  destination list: SignatureDoesNotMatch", "hint: check AWS_ACCESS_KEY_ID"}},
		{"half of the credentials", []string{"AWS_SECRET_ACCESS_KEY="}, "s3://" + server.Bucket, 1, []string{"FAIL  destination: only one of"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := runCommand(t, command(t, append(server.Env(server.Endpoint), test.env...), "check", "--to", test.to))
			for _, want := range append(test.want, "ok    vod: not looked at") {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("no %q", want)
				}
			}
			if got.code != test.code || got.stderr != "" {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			if t.Failed() {
				t.Logf("stdout:\n%sstderr:\n%s", got.stdout, got.stderr)
			}
		})
	}
}
