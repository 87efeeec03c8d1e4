package vod_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// found is what a scanner makes of an input: texts without white space, and malformed pieces as "line: reason".
type found struct {
	Texts     []string
	Malformed []string
}

func scan(t testing.TB, r io.Reader) found {
	t.Helper()
	var f found
	s := vod.NewScanner(r)
	for {
		text, line, err := s.Next()
		if bad, ok := errors.AsType[*vod.Malformed](err); ok {
			f.Malformed = append(f.Malformed, bad.Error())
			continue
		}
		if err == io.EOF {
			return f
		}
		if err != nil {
			t.Fatal(err)
		}
		if line < 1 || line > s.Line() {
			t.Errorf("text on line %d of %d", line, s.Line())
		}
		f.Texts = append(f.Texts, strings.Join(strings.Fields(string(text)), ""))
	}
}

func TestScanner(t *testing.T) {
	const a, b, c = `{"EventType":"A","X":{"Y":[1,2,{"Z":null}]}}`, `{"EventType":"B"}`, `{"EventType":"C","S":"\"}]{[\\"}`
	pretty := strings.NewReplacer("{", "{\n  ", ",", ",\n  ", "}", "\n}").Replace(a)
	tests := []struct {
		name, in  string
		texts     []string
		malformed []string
	}{
		{"nothing", "", nil, nil},
		{"white space", " \r\n\t\n", nil, nil},
		{"one", a, []string{a}, nil},
		{"pretty", pretty, []string{a}, nil},
		{"NDJSON", a + "\n" + b + "\n" + c + "\n", []string{a, b, c}, nil},
		{"NDJSON, CRLF, no last end", a + "\r\n" + b, []string{a, b}, nil},
		{"concatenated", a + b + c, []string{a, b, c}, nil},
		{"array", "[" + a + "," + b + "]", []string{a, b}, nil},
		{"pretty array", "[\n" + a + ",\n" + b + "\n]\n", []string{a, b}, nil},
		{"arrays in arrays", "[[" + a + "],[],[[" + b + "]]]" + c, []string{a, b, c}, nil},
		{"EventSet", `{"EventSet":[` + a + "," + b + `],"RequestId":"r"}` + c, []string{a, b, c}, nil},
		{"Response", `{"Response":{"EventSet":[` + a + `],"RequestId":"r"},"X":1}` + "\n" + c, []string{a, c}, nil},
		{"Response, other order", `{"X":[{}],"Response":{"RequestId":"r","EventSet":[` + a + `,` + b + `]}}`, []string{a, b}, nil},
		{"array of answers", `[{"EventSet":[` + a + `]},{"EventSet":[` + b + `]}]`, []string{a, b}, nil},
		{"empty answer", `{"Response":{"EventSet":null,"RequestId":"r"}}` + b, []string{b}, nil},
		{"error answer", `{"Response":{"Error":{"Code":"ResourceNotFound","Message":"no event"}}}` + b, []string{b}, nil},
		{"deeper names are not envelopes", `{"X":{"EventSet":[1]}}`, []string{`{"X":{"EventSet":[1]}}`}, nil},
		{"byte order mark", "\ufeff" + a, []string{a}, nil},
		{"record separators", "\x1e" + a + "\n\x1e" + b, []string{a, b}, nil},

		{"garbage lines", "oops\n" + a + "\nmore oops\n\n" + b, []string{a, b}, []string{
			`line 1: no JSON object or array: unexpected 'o'`, `line 3: no JSON object or array: unexpected 'm'`}},
		{"bad element on one line", "[" + a + ",{bad}," + b + ",1,null," + c + "]", []string{a, b, c}, []string{
			`line 1: unexpected 'b' on line 1`, `line 1: an element of the array is no object`, `line 1: an element of the array is no object`}},
		{"bad element of a pretty array", "[\n  " + a + ",\n  {\n    bad\n  },\n  " + b + "\n]", []string{a, b}, []string{`line 3: unexpected 'b' on line 4`}},
		{"cut line", a + "\n" + a[:20] + "\n" + b + "\n" + c, []string{a, b, c}, []string{`line 2: unexpected string on line 2`}},
		{"cut line after a colon", `{"X":` + "\n" + b + "\n" + c, []string{b, c}, []string{`line 1: unexpected '{' on line 3`}},
		{"cut at the end", a + "\n" + b[:5], []string{a}, []string{`line 2: the input ends inside it`}},
		{"array that does not end", "[" + a, []string{a}, []string{`line 1: the input ends inside an array`}},
		{"one brace too many", a + "}\n" + b, []string{a, b}, []string{`line 1: no JSON object or array: unexpected '}'`}},
		{"raw line end in a string", "{\"X\":\"a\nb\"}\n" + b, []string{b}, []string{`line 1: a string has a raw '\n' on line 1`}},
		{"too deep", `{"X":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}\n" + b, []string{b}, []string{`line 1: nested too deeply`}},
		{"missing comma", `{"X":1 "Y":2}` + b, []string{b}, []string{`line 1: unexpected string on line 1`}},
		{"commas alone", `{"X":[,]}` + b, []string{b}, []string{`line 1: unexpected ',' on line 1`}},
		{"wrong bracket", `{"X":[1}` + "\n" + b, []string{b}, []string{`line 1: unexpected '}' on line 1`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := found{test.texts, test.malformed}
			if test.name == "cut line" {
				want.Malformed = nil // where the cut is told depends on the place; the next test looks at every place
			}
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(test.in), "bytes": iotest.OneByteReader(strings.NewReader(test.in)),
				"halves": iotest.HalfReader(strings.NewReader(test.in)), "error with data": iotest.DataErrReader(strings.NewReader(test.in)),
			} {
				got := scan(t, r)
				if test.name == "cut line" {
					got.Malformed = nil
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// A line of NDJSON that is cut anywhere costs nothing but itself.
func TestScannerCutAnywhere(t *testing.T) {
	const event = `{"EventType":"A","E":{"FileId":"1","Set":[{"Code":0,"Off":1.5,"Url":"http:\/\/h\/1"},{"Code":-1}],"N":null}}`
	const good = `{"EventType":"B","E":{"Set":[{"Code":0}]}}`
	for i := 1; i < len(event); i++ {
		got := scan(t, strings.NewReader(good+"\n"+event[:i]+"\n"+good+"\n"+good+"\n"))
		if diff := cmp.Diff([]string{good, good, good}, got.Texts); diff != "" {
			t.Errorf("cut to %q (-want +got):\n%s", event[:i], diff)
		}
		if len(got.Malformed) != 1 || !strings.HasPrefix(got.Malformed[0], "line 2: ") {
			t.Errorf("cut to %q: %q, want one piece on line 2", event[:i], got.Malformed)
		}
	}
}

func TestScannerTooLarge(t *testing.T) {
	const good = `{"EventType":"B"}`
	for name, large := range map[string]string{
		"string": `{"X":"` + strings.Repeat("x", vod.MaxEventBytes) + `{"}`,
		"array":  `{"X":[` + strings.Repeat("1,", vod.MaxEventBytes/2) + `1]}`,
		"number": `{"X":` + strings.Repeat("1", vod.MaxEventBytes+1) + `}`,
	} {
		for _, separator := range []string{"\n", ""} {
			got := scan(t, strings.NewReader(good+separator+large+separator+good))
			want := found{[]string{good, good}, []string{fmt.Sprintf("line %d: it is larger than 16 MiB", 1+len(separator))}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, separator %q (-want +got):\n%s", name, separator, diff)
			}
		}
	}
}

func TestScannerPassesOnReadErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	s := vod.NewScanner(io.MultiReader(strings.NewReader(`{"A":1}{"B":`), iotest.ErrReader(broken)))
	if text, _, err := s.Next(); err != nil || string(text) != `{"A":1}` {
		t.Fatalf("%q, %v", text, err)
	}
	if _, _, err := s.Next(); err != broken {
		t.Errorf("got %v, want the read error", err)
	}
}

// endless gives an answer of n events without holding it.
func endless(before, event, after string, n int) io.Reader {
	readers := []io.Reader{strings.NewReader(before)}
	for range n {
		readers = append(readers, strings.NewReader(event))
	}
	return io.MultiReader(append(readers, strings.NewReader(after))...)
}

// One event is held at a time, whatever the size of what is around it.
func TestScannerStreams(t *testing.T) {
	event := `{"EventType":"A","X":"` + strings.Repeat("x", 10_000) + `"},`
	const n = 3000 // 30 MB
	for name, r := range map[string]io.Reader{
		"array":    endless("[", event, "{}]", n),
		"Response": endless(`{"Response":{"RequestId":"r","EventSet":[`, event, `{}]}}`, n),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, events := vod.NewScanner(r), 0
		for {
			_, _, err := s.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			events++
		}
		runtime.ReadMemStats(&after)
		if events != n+1 {
			t.Errorf("%s: %d events, want %d", name, events, n+1)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: %d bytes were allocated for an input of %d", name, got, n*len(event))
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`{"Response":{"EventSet":[{"EventType":"A"},{bad}],"R":1}}`, "[[{}],\n{", "{\"a\":\"\n\"}\n{}", "[1,2,]}{\"EventSet\":[]}", `{"EventSet":[{"EventSet":[{`, "{\"Response\":{\n{}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, bytewise := scan(t, bytes.NewReader(in)), scan(t, iotest.OneByteReader(bytes.NewReader(in)))
		if diff := cmp.Diff(whole, bytewise); diff != "" {
			t.Errorf("reading by bytes makes a difference (-whole +bytes):\n%s", diff)
		}
		// Whatever came before, a good line at the end is found, unless what came before may be the beginning of it.
		const good = `{"EventType":"good"}`
		after := scan(t, strings.NewReader(string(in)+"\n"+good+"\n"+good+"\n"))
		if n := len(after.Texts); n == 0 || after.Texts[n-1] != good {
			t.Errorf("the last line is not found: %q", after)
		}
	})
}

// Arrays nested beyond all reason come to an end, and what follows on the next line is found.
func TestScannerEndsInDeepNesting(t *testing.T) {
	for _, deep := range []string{strings.Repeat("[", 201), strings.Repeat("[", 5000), strings.Repeat(`{"EventSet":[`, 300), strings.Repeat("[{", 300)} {
		s := vod.NewScanner(strings.NewReader(deep + "\n" + `{"EventType":"A"}`))
		for n := 0; ; n++ {
			if _, _, err := s.Next(); err == io.EOF {
				break
			}
			if n > len(deep)+2 {
				t.Fatalf("%.12s...: no end after %d pieces", deep, n)
			}
		}
	}
}
