package store

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// sums is which checksum of an object a service is sent, to be verified. Every one knows Content-MD5. A CRC32C costs a twentieth
// of it, where the service is known to verify that.
type sums int32

const (
	sumsMD5    sums = iota
	sumsTried       // CRC32C, whose wrong ones are refused; whether right ones are taken is to be seen
	sumsCRC32C      // and they are
)

const headerCRC32C = "X-Amz-Checksum-Crc32c"

// wrongCRC32C is not that of the probe's object.
const wrongCRC32C = "AAAAAA=="

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the object's, as the header has it, computed where the caller has not.
func (o *Object) crc32c() string {
	sum := o.CRC32C
	if sum == 0 {
		sum = crc32.Checksum(o.Body, castagnoli)
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// contentMD5 is the object's MD5, as the header has it.
func (o *Object) contentMD5() string {
	digest := o.digest()
	return base64.StdEncoding.EncodeToString(digest[:])
}

// withCRC32C adds the header to what is sent with an object: minio-go sends metadata of this name as it is.
func withCRC32C(o *minio.PutObjectOptions, sum string) {
	o.UserMetadata = maps.Clone(o.UserMetadata)
	if o.UserMetadata == nil {
		o.UserMetadata = map[string]string{}
	}
	o.UserMetadata[headerCRC32C] = sum
}

// learnAfter is how many objects are put before the service is tried out: a short run does without.
const learnAfter = 16

// learn makes ready for the objects to come, and tries out whether the service can be told less and do more, with an object that has
// just been put. Neither request stores anything where the service can: one must meet the object, the other has a wrong checksum.
func (s *S3) learn(ctx context.Context, o Object) {
	options := s.putOptions(o)
	options.SetMatchETagExcept("*")
	_, err := s.putWith(ctx, s.client, o, options)
	s.excludes.Store(minio.ToErrorResponse(err).StatusCode == http.StatusPreconditionFailed)

	// Where CRC32C says nothing to the service, this leaves the probe's object.
	probe := Object{Key: ProbeKey, Body: []byte(probeText), ContentType: "text/plain"}
	options = s.putOptions(probe)
	withCRC32C(&options, wrongCRC32C)
	_, err = s.putWith(ctx, s.client, probe, options)
	if minio.ToErrorResponse(err).StatusCode == http.StatusBadRequest {
		s.sums.CompareAndSwap(int32(sumsMD5), int32(sumsTried))
	}
	s.direct.Store(s.newDirect(ctx))
}

// Excludes says whether the service has shown that a put with IfAbsent finds out about an object that is there.
func (s *S3) Excludes() bool { return s.excludes.Load() }

// digest is the object's MD5, computed where the caller has not.
func (o *Object) digest() [md5.Size]byte {
	if o.MD5 == [md5.Size]byte{} {
		return md5.Sum(o.Body)
	}
	return o.MD5
}
