package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// When to try again decides how much an operator loses or waits; a change here must be meant.
func TestReasons(t *testing.T) {
	want := map[Reason]Retry{
		SourceMissing: Later, SourceDenied: Later, SourceBusy: Soon, SourceUnreachable: Soon, SourceBlocked: Never, Incomplete: Soon,
		NotAnImage: Later, TooLarge: Never, BadSnapshot: Never, KeyConflict: Never, StoreDenied: Later, StoreUnavailable: Later, StoreRejected: Never,
	}
	got := map[Reason]Retry{}
	for _, r := range Reasons {
		if _, twice := got[r.Reason]; twice {
			t.Errorf("%s stands there twice", r.Reason)
		}
		got[r.Reason] = r.Retry
		if r.Meaning == "" || strings.HasSuffix(r.Meaning, ".") {
			t.Errorf("%s: meaning %q, want a sentence's worth without a full stop", r.Reason, r.Meaning)
		}
		if r.Reason.Info() != r {
			t.Errorf("%s: Info is %+v, want its row", r.Reason, r.Reason.Info())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if got := Reason("nonsense").Info(); got != (ReasonInfo{}) {
		t.Errorf("a reason that is none: %+v", got)
	}
}

func TestFailure(t *testing.T) {
	err := fmt.Errorf("outer: %w", failf(Incomplete, "cut: %w", io.ErrUnexpectedEOF))
	f, ok := asFailure(err)
	if !ok || f.Reason != Incomplete || f.Error() != "cut: unexpected EOF" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, %t in %v", f, ok, err)
	}
	if f, ok := asFailure(io.EOF); ok {
		t.Errorf("%v in an error that holds none", f)
	}
}

func TestStoreFailure(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Reason
	}{
		{&store.Error{Kind: store.Denied, Op: "putting", Err: io.EOF}, StoreDenied},
		{&store.Error{Kind: store.Rejected, Op: "putting", Err: io.EOF}, StoreRejected},
		{&store.Error{Kind: store.Unavailable, Op: "putting", Err: io.EOF}, StoreUnavailable},
		{fmt.Errorf("outer: %w", &store.Error{Kind: store.Rejected, Op: "putting", Err: io.EOF}), StoreRejected},
		{io.EOF, StoreUnavailable},
		{context.DeadlineExceeded, StoreUnavailable},
	} {
		if got := storeFailure(test.err); got.Reason != test.want || !errors.Is(got, test.err) {
			t.Errorf("%v: %s, want %s", test.err, got.Reason, test.want)
		}
	}
}
