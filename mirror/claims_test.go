package mirror

import (
	"crypto/md5"
	"fmt"
	"hash/crc64"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each promise alone is held against the body; "" is proven. TestProve has the lengths.
func TestPromises(t *testing.T) {
	sum := fmt.Sprintf("%x", md5.Sum([]byte(jpegText)))
	crc := fmt.Sprint(crc64.Checksum([]byte(jpegText), crc64.MakeTable(crc64.ECMA)))
	size := int64(len(jpegText))
	for _, test := range []struct {
		name   string
		claims claims
		body   string
		want   Reason
	}{
		{"length", claims{length: size}, jpegText, ""},
		{"framed", claims{length: -1, framed: true}, jpegText, ""},
		{"CRC64 alone", claims{length: -1, crc64: crc}, jpegText, ""},
		{"MD5 alone", claims{length: -1, md5: sum}, jpegText, ""},
		{"all", claims{length: size, crc64: crc, md5: sum, framed: true}, jpegText, ""},
		{"nothing", claims{length: -1}, jpegText, Incomplete},
		{"no body", claims{length: 0, crc64: "0"}, "", Incomplete},
		{"wrong CRC64, right MD5", claims{length: size, crc64: crc + "0", md5: sum}, jpegText, Incomplete},
		{"CRC64 in hex", claims{length: size, crc64: "0x1"}, jpegText, Incomplete},
		{"wrong MD5, right CRC64", claims{length: size, crc64: crc, md5: strings.Repeat("0", 32)}, jpegText, Incomplete},
		{"whole, but no picture", claims{length: 6}, "<html>", NotAnImage},
		{"all kept, but no end", claims{length: size - 2}, jpegText[:size-2], Incomplete},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProver(test.claims)
			for piece := range strings.SplitAfterSeq(test.body, " ") { // as it arrives: in pieces
				p.write([]byte(piece))
			}
			pic, err := p.prove([]byte(test.body))
			if f, _ := asFailure(err); (err != nil) != (test.want != "") || (f != nil && f.Reason != test.want) {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if err == nil && (!rightMD5(pic, test.claims) || string(pic.body) != test.body || pic.contentType != "image/jpeg") {
				t.Errorf("picture %+v", pic)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	const sum = "0123456789abcdef0123456789abcdef"
	for etag, want := range map[string]claims{
		"":                                   {},
		`"` + sum + `"`:                      {md5: sum, etag: sum},
		sum:                                  {md5: sum, etag: sum},
		`"` + strings.ToUpper(sum) + `"`:     {md5: sum, etag: strings.ToUpper(sum)},
		`"` + sum + `-2"`:                    {etag: sum + "-2"},
		`W/"` + sum + `"`:                    {etag: `W/"` + sum},
		`"` + sum[:31] + `"`:                 {etag: sum[:31]},
		`"` + sum[:30] + `"`:                 {etag: sum[:30]},
		`"` + sum + sum[:8] + `"`:            {etag: sum + sum[:8]}, // a SHA-1
		`"0123456789abcdef0123456789abcdeg"`: {etag: "0123456789abcdef0123456789abcdeg"},
	} {
		got := claimsOf(&http.Response{ContentLength: 7, ProtoMajor: 1, Header: http.Header{"Etag": {etag}}})
		want.length = 7
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(claims{})); diff != "" {
			t.Errorf("ETag %s (-want +got):\n%s", etag, diff)
		}
	}
	for name, r := range map[string]*http.Response{
		"chunked": {ContentLength: -1, ProtoMajor: 1, TransferEncoding: []string{"chunked"}},
		"HTTP/2":  {ContentLength: -1, ProtoMajor: 2},
	} {
		if c := claimsOf(r); !c.framed || c.length != -1 {
			t.Errorf("%s: %+v, want framed", name, c)
		}
	}
}

// rightMD5 says whether the picture has its MD5, which it need not have where none was promised.
func rightMD5(p picture, c claims) bool {
	return p.md5 == md5.Sum(p.body) || c.md5 == "" && p.md5 == [md5.Size]byte{}
}
