package mirror

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestParseTimeOffset(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "10000": "10000", "10000.0": "10000", "1e4": "10000", "1000.5": "1000.5", "0.10": "0.1", "-1": "-1",
		"9007199254740992": "9007199254740992", "1e21": "1000000000000000000000",
	} {
		got, err := ParseTimeOffset(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %s (%v), want %s", text, got, err, want)
		}
		if line, err := json.Marshal(got); err != nil || string(line) != want {
			t.Errorf("%q: JSON %s (%v), want %s", text, line, err, want)
		}
	}
	for _, text := range []string{"", " ", "1 ", "ten", "NaN", "nan", "Inf", "-Inf", "infinity", "1e400", "-1e400", "1,5", "0:10"} {
		if got, err := ParseTimeOffset(text); err == nil {
			t.Errorf("%q: %s, want an error", text, got)
		}
	}
	_, err := ParseTimeOffset(strings.Repeat("x", 100) + "\x1b")
	if want := `time offset "` + strings.Repeat("x", 40) + `…" is not a number of milliseconds`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestValidate(t *testing.T) {
	good := Snapshot{FileID: "14508071098244929440", TimeOffset: 1000.5, Definition: 10, TaskID: "1400000000-Snapshot-x", URL: "https://h/x.jpg?sign=1#f"}
	tests := []struct {
		want   string
		change func(*Snapshot)
	}{
		{"", func(*Snapshot) {}},
		{"", func(s *Snapshot) { s.TaskID, s.Definition, s.TimeOffset = "", 0, 0 }},
		{"", func(s *Snapshot) { s.TimeOffset = TimeOffset(math.Copysign(0, -1)) }},
		{"", func(s *Snapshot) { s.TimeOffset = maxTimeOffset }},
		{"", func(s *Snapshot) { s.FileID = strings.Repeat("视", 85) }},
		{"", func(s *Snapshot) { s.URL = "HTTP://[2001:db8::1]:8080/视 频.jpg" }},
		{"the event gives no file id", func(s *Snapshot) { s.FileID = "" }},
		{"the file id has 257 bytes, more than 256", func(s *Snapshot) { s.FileID = strings.Repeat("1", 257) }},
		{`the file id has characters that can't be printed: "a\x1b[31m"`, func(s *Snapshot) { s.FileID = "a\x1b[31m" }},
		{`the task id has characters that can't be printed: "t\r\nx: y"`, func(s *Snapshot) { s.TaskID = "t\r\nx: y" }},
		{`the task id has characters that can't be printed: "\xff"`, func(s *Snapshot) { s.TaskID = "\xff" }},
		{"the time offset -0.5 is negative", func(s *Snapshot) { s.TimeOffset = -0.5 }},
		{"the time offset is not a number", func(s *Snapshot) { s.TimeOffset = TimeOffset(math.NaN()) }},
		{"the time offset is beyond any video", func(s *Snapshot) { s.TimeOffset = maxTimeOffset + 2 }},
		{"the time offset is beyond any video", func(s *Snapshot) { s.TimeOffset = TimeOffset(math.Inf(1)) }},
		{"the event says that the snapshot succeeded but gives no URL", func(s *Snapshot) { s.URL = "" }},
		{"the URL has 8193 bytes, more than 8192", func(s *Snapshot) { s.URL = "http://h/" + strings.Repeat("x", 8184) }},
		{"the URL can't be parsed", func(s *Snapshot) { s.URL = "http://h/%zz?sign=SECRET" }},
		{"the URL can't be parsed", func(s *Snapshot) { s.URL = "http://h/\n?sign=SECRET" }},
		{"the URL can't be parsed", func(s *Snapshot) { s.URL = "http://h:x/?sign=SECRET" }},
		{`the URL's scheme is "ftp", not http or https`, func(s *Snapshot) { s.URL = "ftp://h/x.jpg" }},
		{`the URL's scheme is "", not http or https`, func(s *Snapshot) { s.URL = "//h/x.jpg" }},
		{"the URL names no host", func(s *Snapshot) { s.URL = "http:///x.jpg" }},
		{"the URL names no host", func(s *Snapshot) { s.URL = "http:h/x.jpg" }},
		{"the URL names no host", func(s *Snapshot) { s.URL = "http://:80/x.jpg" }},
		{"the URL carries a user name", func(s *Snapshot) { s.URL = "http://user:SECRET@h/x.jpg" }},
	}
	for _, test := range tests {
		s := good
		test.change(&s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%.120q at %s: %q, want %q", s.FileID+" "+s.TaskID+" "+s.URL, s.TimeOffset, got, test.want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		in   string
		n    int
		want string
	}{{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"视频", 4, "视…"}, {"视频", 2, "…"}} {
		if got := clip(test.in, test.n); got != test.want {
			t.Errorf("%q to %d: %q, want %q", test.in, test.n, got, test.want)
		}
	}
}

func FuzzTimeOffset(f *testing.F) {
	for _, seed := range []string{"10000", "1000.5", "-0", "1e300", "0x1p-2", "5e-324", "1_0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseTimeOffset(text)
		if err != nil {
			return
		}
		b, err := ParseTimeOffset(a.String())
		if err != nil || a != b || !json.Valid([]byte(a.String())) {
			t.Errorf("%q is %s, and that is %s (%v)", text, a, b, err)
		}
	})
}
