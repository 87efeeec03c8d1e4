package mirror

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

const (
	jpegText = "\xff\xd8\xff\xe0 a small picture \xff\xd9"
	pngText  = "\x89PNG\r\n\x1a\n\x00\x00\x00\x00IEND\xae\x42\x60\x82"
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
	_, err := recogniseImage([]byte("\n<html>\x1b[31m" + strings.Repeat("x", 100)))
	if want := "the answer of 112 bytes is no JPEG, PNG or WebP: it looks like text/html; charset=utf-8"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
