package mirror

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// realPictures are made by real encoders, but for WebP, which the standard library can't write.
func realPictures(t *testing.T) map[string][]byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 40, 30))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i)
	}
	var j, p bytes.Buffer
	if err := jpeg.Encode(&j, img, nil); err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&p, img); err != nil {
		t.Fatal(err)
	}
	w := binary.LittleEndian.AppendUint32([]byte("RIFF"), 4+300)
	w = append(append(w, "WEBP"...), make([]byte, 300)...)
	return map[string][]byte{"image/jpeg": j.Bytes(), "image/png": p.Bytes(), "image/webp": w}
}

// Whatever the headers say, a picture that is cut anywhere, or has anything behind it, is not recognised as whole.
func TestEveryCutIsSeen(t *testing.T) {
	for want, whole := range realPictures(t) {
		if got, err := recogniseImage(whole); got != want || err != nil {
			t.Errorf("%s: recognised as %q (%v)", want, got, err)
		}
		for n := range whole {
			if got, err := recogniseImage(whole[:n]); err == nil {
				t.Errorf("%s: its first %d of %d bytes pass as %s", want, n, len(whole), got)
			}
		}
		for _, tail := range []string{"\x00", "\n", "<html>"} {
			if got, err := recogniseImage(append(bytes.Clone(whole), tail...)); err == nil {
				t.Errorf("%s: with %q behind it, it passes as %s", want, tail, got)
			}
		}
	}
}

func TestRecogniseImage(t *testing.T) {
	for body, want := range map[string]Reason{
		"":                                      NotAnImage,
		"\xff":                                  NotAnImage,
		"\xff\xd8":                              NotAnImage,
		"\xff\xd9":                              NotAnImage,
		"\xff\xd8\xff":                          Incomplete,
		"\xff\xd8\xff\xd9":                      Incomplete, // begin and end share a byte
		"\x89PNG\r\n\x1a\n":                     Incomplete,
		"\x89PNG\n\x1a\n":                       NotAnImage, // line ends translated on the way
		pngText[8:]:                             NotAnImage,
		"RIFF\x04\x00\x00\x00WEB":               NotAnImage,
		"RIFF\x04\x00\x00\x00WAVE":              NotAnImage,
		"RIFF\x05\x00\x00\x00WEBP":              Incomplete,
		"RIFF\x03\x00\x00\x00WEBP":              Incomplete,
		"RIFF\xff\xff\xff\xffWEBP":              Incomplete, // no overflow
		"GIF89a\x01\x00\x01\x00\x00\x00\x00;":   NotAnImage,
		"BM\x1e\x00\x00\x00\x00\x00\x00\x00":    NotAnImage,
		"\x00\x00\x00\x1cftypavif\x00\x00\x00":  NotAnImage,
		"<?xml version='1.0'?><Error></Error>":  NotAnImage,
		"\n\xff\xd8\xff\xe0 moved on \xff\xd9":  NotAnImage,
		"\xef\xbb\xbf\xff\xd8\xff\xe0 \xff\xd9": NotAnImage,
	} {
		kind, err := recogniseImage([]byte(body))
		if f, ok := asFailure(err); !ok || f.Reason != want || kind != "" {
			t.Errorf("%q: %q, %v; want %s", body, kind, err, want)
		}
	}
	_, err := recogniseImage([]byte("\x1b[31m" + strings.Repeat("x", 100)))
	if want := `the answer of 105 bytes is no JPEG, PNG or WebP: it begins with "\x1b[31mxxxxxxxxxxx"`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

const (
	jpegText = "\xff\xd8\xff\xe0 a small picture \xff\xd9"
	pngText  = "\x89PNG\r\n\x1a\n\x00\x00\x00\x00IEND\xae\x42\x60\x82"
)

// Each promise alone is held against the body; "" is proven.
func TestProve(t *testing.T) {
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
		{"shorter", claims{length: size + 1}, jpegText, Incomplete},
		{"longer", claims{length: size - 1}, jpegText, Incomplete},
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
			if err == nil && (pic.md5 != md5.Sum([]byte(test.body)) || string(pic.body) != test.body || pic.contentType != "image/jpeg") {
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
