package mirror

import (
	"crypto/md5"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strconv"
	"strings"
)

// crc64Header carries the CRC of the whole object on Tencent's object storage: decimal, polynomial ECMA-182.
// Source: ../shared/vod.md's transcript of an origin's answer; COS documentation, "CRC64 check".
const crc64Header = "X-Cos-Hash-Crc64ecma"

var (
	crc64Table  = crc64.MakeTable(crc64.ECMA)
	crc32cTable = crc32.MakeTable(crc32.Castagnoli)
)

// claims are what an answer's headers promise about its body.
type claims struct {
	length int64 // Content-Length in bytes, -1 when not sent
	crc64  string
	md5    string // lower-case hex, "" when the ETag is no MD5
	etag   string // as sent, without quotes
	framed bool   // the transfer itself shows its end: chunked, or HTTP/2
}

func claimsOf(resp *http.Response) claims {
	etag := strings.Trim(resp.Header.Get("ETag"), `"`)
	c := claims{
		length: resp.ContentLength,
		crc64:  strings.TrimSpace(resp.Header.Get(crc64Header)),
		etag:   etag,
		framed: resp.ProtoMajor >= 2 || len(resp.TransferEncoding) > 0,
	}
	// 32 hex digits without a dash are an MD5; with one, or weak (W/"..."), they are something else.
	if sum, err := hex.DecodeString(etag); err == nil && len(sum) == md5.Size {
		c.md5 = hex.EncodeToString(sum)
	}
	return c
}

// prover takes the body as it arrives, so that each byte is hashed while it is warm in the cache, by nothing that was not promised, and
// by the CRC32C that is recorded with the picture.
type prover struct {
	claims claims
	md5    hash.Hash // nil when none was promised
	crc64  uint64
	crc32c uint32
}

func newProver(c claims) *prover {
	p := &prover{claims: c}
	if c.md5 != "" {
		p.md5 = md5.New()
	}
	return p
}

// write takes the next piece of the body.
func (p *prover) write(b []byte) {
	p.crc32c = crc32.Update(p.crc32c, crc32cTable, b)
	if p.md5 != nil {
		p.md5.Write(b)
	}
	if p.claims.crc64 != "" {
		p.crc64 = crc64.Update(p.crc64, crc64Table, b)
	}
}

// picture is a body that has been proven whole.
type picture struct {
	body        []byte
	md5         [md5.Size]byte // zero when it was not computed
	crc32c      uint32
	contentType string
	etag        string
}

// prove holds the whole body against everything that was promised. The error is a Failure.
func (p *prover) prove(body []byte) (picture, error) {
	pic := picture{body: body, crc32c: p.crc32c, etag: p.claims.etag}
	if p.md5 != nil {
		p.md5.Sum(pic.md5[:0])
	}
	c := p.claims
	switch {
	case len(body) == 0:
		return picture{}, failf(Incomplete, "the answer has no body")
	case c.length >= 0 && int64(len(body)) != c.length:
		return picture{}, failf(Incomplete, "the body has %d bytes of the %d announced", len(body), c.length)
	case strings.Trim(c.crc64, "0123456789") != "":
		return picture{}, failf(Incomplete, "the origin's CRC64 is not a number")
	case c.crc64 != "" && c.crc64 != strconv.FormatUint(p.crc64, 10):
		return picture{}, failf(Incomplete, "the body's CRC64 is %d, the origin says %q", p.crc64, clip(c.crc64, 24))
	case p.md5 != nil && c.md5 != hex.EncodeToString(pic.md5[:]):
		return picture{}, failf(Incomplete, "the body's MD5 is %x, the origin's ETag says %s", pic.md5, c.md5)
	case c.length < 0 && !c.framed && c.crc64 == "" && c.md5 == "":
		return picture{}, failf(Incomplete, "the answer says neither its length nor a checksum, so its end can't be told from a broken connection")
	}
	contentType, err := recogniseImage(body)
	pic.contentType = contentType
	return pic, err
}
