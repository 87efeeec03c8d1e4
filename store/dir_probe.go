package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Probe tries out what the directory can do, which must not have been opened to be read only. It writes one file,
// .snapshot-mirror/probe, overwritten each time and never deleted, and nothing else that stays. Where the directory can't be used,
// it gives the findings up to there, of which the last is not OK, and the *Error, or the context's.
func (d *Dir) Probe(ctx context.Context) ([]Finding, error) {
	var findings []Finding
	steps := []struct {
		name string
		do   func() (value, hint string, _ error)
	}{
		{"list", d.probeList}, {"put", d.probePut}, {"names", d.probeNames},
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return findings, err
		}
		value, hint, err := step.do()
		if err != nil {
			err := dirError("probing the destination directory", "", err)
			e, _ := errors.AsType[*Error](err)
			return append(findings, Finding{step.name, false, e.Err.Error(), e.Hint}), err
		}
		findings = append(findings, Finding{step.name, true, value, hint})
	}
	return findings, nil
}

func (d *Dir) probeList() (value, hint string, _ error) {
	if d.root == nil {
		return "", "", fs.ErrNotExist
	}
	dir, err := d.root.Open(".")
	if err != nil {
		return "", "", err
	}
	_, err = dir.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, dir.Close()); err != nil {
		return "", "", err
	}
	return "allowed", "", nil
}

func (d *Dir) probePut() (value, hint string, _ error) {
	const name = dotFolder + "/probe"
	temp, err := d.writeTemp([]byte(probeText))
	if err != nil {
		return "", "", err
	}
	if err := d.root.Rename(temp, name); err != nil {
		return "", "", errors.Join(err, d.root.Remove(temp))
	}
	if err := d.syncDir(path.Dir(name)); err != nil {
		return "", "", err
	}
	got, err := d.root.ReadFile(name)
	if err != nil {
		return "", "", err
	}
	if !bytes.Equal(got, []byte(probeText)) {
		return "", "", fmt.Errorf("%s has %d bytes that are not those that were written", name, len(got))
	}
	return "allowed, synced to the disk", "", nil
}

// probeNames finds out whether names that differ in case only are the same.
func (d *Dir) probeNames() (value, hint string, _ error) {
	temp, err := d.writeTemp(nil)
	if err != nil {
		return "", "", err
	}
	_, err = d.root.Lstat(path.Join(path.Dir(temp), strings.ToLower(path.Base(temp))))
	if removed := d.root.Remove(temp); removed != nil {
		return "", "", removed
	}
	switch {
	case err == nil:
		return "upper and lower case are the same", "two videos whose ids differ in case only meet: the second replaces the first, or fails with key_conflict", nil
	case errors.Is(err, fs.ErrNotExist):
		return "upper and lower case differ", "", nil
	}
	return "", "", err
}
