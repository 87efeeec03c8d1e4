package main

import (
	"bytes"
	"log"
	"log/slog"
)

// libraryLog takes what libraries write to Go's global log into ours. It drops what net/http says of bytes that an origin
// sends unasked: it quotes them.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Write(line []byte) (int, error) {
	if !bytes.HasPrefix(line, []byte("Unsolicited response received on idle HTTP channel")) {
		l.log.Warn("a library logs", "text", string(bytes.TrimSpace(line)))
	}
	return len(line), nil
}

func takeLibraryLog(l *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(libraryLog{l})
}
