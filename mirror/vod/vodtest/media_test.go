package vodtest

import (
	"fmt"
	"testing"
	"time"
)

var noon = time.Date(2018, 10, 1, 12, 0, 0, 0, time.UTC)

func TestSearch(t *testing.T) {
	s := Start(t, credential)
	s.SetMedia(Media{"d", noon.Add(time.Hour), ""}, Media{"b", noon, ""}, Media{"c", noon.Add(900 * time.Millisecond), ""}, Media{"a", noon, ""})
	const asc, desc = `"Sort":{"Field":"CreateTime","Order":"Asc"}`, `"Sort":{"Field":"CreateTime","Order":"Desc"}`
	for _, test := range []struct {
		body  string
		total int
		want  string
	}{
		{`{` + asc + `}`, 4, "a b c d "},
		{`{` + desc + `}`, 4, "d c b a "},
		{`{}`, 4, "d c b a "},
		{`{` + asc + `,"Offset":1,"Limit":2}`, 4, "b c "},
		{`{` + desc + `,"Offset":1,"Limit":2}`, 4, "c b "},
		{`{` + asc + `,"Offset":4}`, 4, ""},
		{`{` + asc + `,"Offset":9,"Limit":1}`, 4, ""},
		{`{` + asc + `,"CreateTime":{"After":"2018-10-01T12:00:01Z"}}`, 1, "d "},
		{`{` + asc + `,"CreateTime":{"Before":"2018-10-01T12:00:00Z"}}`, 3, "a b c "},
		{`{` + desc + `,"CreateTime":{"After":"2018-10-01T20:00:00+08:00","Before":"2018-10-01T21:00:00+08:00"},"Limit":3}`, 4, "d c b "},
		{`{"CreateTime":{"Before":"2018-10-01T11:59:59Z"}}`, 0, ""},
		{`{` + asc + `,"FileIds":["d","x","a","d"]}`, 2, "a d "},
		{`{"FileIds":["d"],"CreateTime":{"Before":"2018-10-01T12:00:00Z"}}`, 0, ""},
		{`{"Categories":["Audio"]}`, 0, ""},
		{`{"Categories":["Audio","Video"],"Limit":1}`, 4, "d "},
	} {
		if got := call(t, s, "SearchMedia", test.body); got.TotalCount != test.total || got.files() != test.want {
			t.Errorf("%s: got %d: %s, want %d: %s", test.body, got.TotalCount, got.files(), test.total, test.want)
		}
	}
	for body, code := range map[string]string{
		`{"Offset":4991}`:                                   "InvalidParameterValue.Limit",
		`{"Limit":5001}`:                                    "InvalidParameterValue.Limit",
		`{"Limit":0}`:                                       "InvalidParameterValue.Limit",
		`{"Offset":18446744073709551615}`:                   "InvalidParameterValue.Limit",
		`{"Sort":{"Field":"Name"}}`:                         "InvalidParameterValue.Sort",
		`{"Sort":{"Field":"CreateTime"}}`:                   "InvalidParameterValue.Sort",
		`{"Categories":["video"]}`:                          "InvalidParameterValue.Categories",
		`{"Filters":["BasicInfo"]}`:                         "InvalidParameterValue.Filters",
		`{"CreateTime":{"After":"1538395200"}}`:             "InvalidParameterValue",
		`{"CreateTime":{"After":"2018-10-01T12:00:00.5Z"}}`: "InvalidParameterValue",
		`{"CreateTime":{"After":"2018-10-01T12:00:01Z","Before":"2018-10-01T12:00:00Z"}}`: "InvalidParameterValue",
		`{"FileIds":["1","2","3","4","5","6","7","8","9","10","11"]}`:                     "InvalidParameterValue.FileIdsTooMany",
	} {
		refused(t, s, "SearchMedia", body, code)
	}
	s.DeleteMedia("b")
	s.DeleteMedia("never there")
	s.SetMedia(Media{"a", noon.Add(2 * time.Hour), ""})
	if got := call(t, s, "SearchMedia", `{`+asc+`}`).files(); got != "c d a " {
		t.Errorf("after a change: got %s, want c d a", got)
	}
}

func TestFilters(t *testing.T) {
	s := Start(t, credential)
	s.SetMedia(Media{"1", noon, `{"SnapshotByTimeOffsetSet":[]}`}, Media{"2", noon, ""})
	for _, test := range []struct {
		filters          string
		basic, snapshots bool
	}{
		{`[]`, true, true}, {`["basicInfo"]`, true, false}, {`["snapshotByTimeOffsetInfo"]`, false, true}, {`["metaData"]`, false, false},
	} {
		for _, action := range []string{"SearchMedia", "DescribeMediaInfos"} {
			got := call(t, s, action, `{"FileIds":["1","2"],"Filters":`+test.filters+`}`).MediaInfoSet
			if len(got) != 2 {
				t.Fatalf("%s %s: got %+v", action, test.filters, got)
			}
			for _, m := range got {
				if (m.BasicInfo != nil) != test.basic || m.BasicInfo != nil && m.BasicInfo.CreateTime != "2018-10-01T12:00:00Z" {
					t.Errorf("%s %s: media %s: got %+v", action, test.filters, m.FileId, m.BasicInfo)
				}
				if (m.SnapshotByTimeOffsetInfo != nil) != (test.snapshots && m.FileId == "1") {
					t.Errorf("%s %s: media %s: got %v", action, test.filters, m.FileId, m.SnapshotByTimeOffsetInfo)
				}
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	s := Start(t, credential)
	s.SetMedia(Media{"1", noon, ""}, Media{"2", noon, ""})
	got := call(t, s, "DescribeMediaInfos", `{"FileIds":["3","2"]}`)
	if got.files() != "2 " || fmt.Sprint(got.NotExistFileIdSet) != "[3]" {
		t.Errorf("got %s and %v, want 2 and not 3", got.files(), got.NotExistFileIdSet)
	}
	refused(t, s, "DescribeMediaInfos", `{"FileIds":[]}`, "InvalidParameterValue.FileIdsEmpty")
	refused(t, s, "DescribeMediaInfos", `{"FileIds":["","","","","","","","","","","","","","","","","","","","",""]}`, "InvalidParameterValue.FileIdsTooMany")
}

// many are media with one second each.
func many(n int) []Media {
	media := make([]Media, n)
	for i := range media {
		media[n-1-i] = Media{fmt.Sprintf("%06d", i), noon.Add(time.Duration(i) * time.Second), `{"SnapshotByTimeOffsetSet":[]}`}
	}
	return media
}

func TestSearchSaturates(t *testing.T) {
	s := Start(t, credential)
	s.SetMedia(many(5002)...)
	for body, want := range map[string]string{
		`{"Offset":4999,"Limit":1,"Sort":{"Field":"CreateTime","Order":"Asc"}}`:  "004999 ",
		`{"Offset":4999,"Limit":1,"Sort":{"Field":"CreateTime","Order":"Desc"}}`: "000002 ",
	} {
		if got := call(t, s, "SearchMedia", body); got.TotalCount != 5000 || got.files() != want {
			t.Errorf("%s: got %d: %s, want 5000: %s", body, got.TotalCount, got.files(), want)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	s := Start(b, credential)
	s.SetMedia(many(50_000)...)
	for b.Loop() {
		call(b, s, "SearchMedia", `{"Offset":2500,"Limit":100,"CreateTime":{"After":"2018-10-01T16:00:00Z"},"Filters":["snapshotByTimeOffsetInfo"]}`)
	}
}
