package mirror

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/http"
)

// imageFormat is one kind of picture that VOD makes.
type imageFormat struct {
	contentType string
	// begins says whether the bytes have the format's signature.
	begins func([]byte) bool
	// ends says whether they also have its end in the last place, so that nothing is cut off or hung on.
	ends func([]byte) bool
}

var pngSignature = []byte("\x89PNG\r\n\x1a\n")

// imageFormats are the formats of VOD's snapshot templates. Pictures are recognised and never decoded: a stranger's pixels
// cost no memory.
var imageFormats = []imageFormat{
	{
		contentType: "image/jpeg",
		begins:      func(b []byte) bool { return bytes.HasPrefix(b, []byte{0xff, 0xd8, 0xff}) },
		ends:        func(b []byte) bool { return len(b) > 4 && bytes.HasSuffix(b, []byte{0xff, 0xd9}) },
	},
	{
		contentType: "image/png",
		begins:      func(b []byte) bool { return bytes.HasPrefix(b, pngSignature) },
		ends:        wholePNG,
	},
	{
		contentType: "image/webp",
		begins: func(b []byte) bool {
			return len(b) >= 12 && bytes.HasPrefix(b, []byte("RIFF")) && bytes.Equal(b[8:12], []byte("WEBP"))
		},
		// A RIFF file has no end marker; its header says how long it is.
		ends: func(b []byte) bool { return uint64(binary.LittleEndian.Uint32(b[4:8]))+8 == uint64(len(b)) },
	},
}

// wholePNG goes through the chunks, each of which has its length and its CRC, up to the one that ends the picture. The other
// formats have no checksums: what is missing in the middle of them only the origin's length or checksum can tell.
// Source: PNG specification, section 5.
func wholePNG(b []byte) bool {
	for rest := b[len(pngSignature):]; len(rest) >= 12; {
		n := uint64(binary.BigEndian.Uint32(rest))
		if n > uint64(len(rest)-12) || crc32.ChecksumIEEE(rest[4:8+n]) != binary.BigEndian.Uint32(rest[8+n:]) {
			return false
		}
		if string(rest[4:8]) == "IEND" {
			return n == 0 && len(rest) == 12
		}
		rest = rest[12+n:]
	}
	return false
}

// recogniseImage gives the media type of a whole picture, or a Failure: NotAnImage when it has no known signature,
// Incomplete when it has one but not its end.
func recogniseImage(b []byte) (contentType string, _ error) {
	for _, f := range imageFormats {
		if !f.begins(b) {
			continue
		}
		if !f.ends(b) {
			return "", failf(Incomplete, "the %s data of %d bytes is not whole as the format has it", f.contentType, len(b))
		}
		return f.contentType, nil
	}
	return "", failf(NotAnImage, "the answer of %d bytes is no JPEG, PNG or WebP: it looks like %s", len(b), http.DetectContentType(b))
}
