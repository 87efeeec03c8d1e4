package vod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// peek gives the next byte without taking it, and reads on where needed.
func (s *Scanner) peek() (byte, error) {
	for len(s.in) == 0 {
		if s.readErr != nil {
			return 0, s.readErr
		}
		var n int
		n, s.readErr = s.src.Read(s.block)
		s.in = s.block[:n]
	}
	return s.in[0], nil
}

// take passes over one byte.
func (s *Scanner) take() { s.consume(false) }

// consume passes over one byte and, with keep, adds it to the value.
func (s *Scanner) consume(keep bool) {
	c := s.in[0]
	if keep {
		s.value = append(s.value, c)
	}
	if s.col0 = c == '\n'; s.col0 {
		s.line++
	}
	s.in = s.in[1:]
}

// consumeN is consume for n bytes that are no line ends.
func (s *Scanner) consumeN(n int, keep bool) {
	if n == 0 {
		return
	}
	if keep {
		s.value = append(s.value, s.in[:n]...)
	}
	s.col0 = false
	s.in = s.in[n:]
}

// skipSpace passes over what may stand between values: white space, commas, record separators and a byte order mark.
func (s *Scanner) skipSpace() (byte, error) {
	for {
		c, err := s.peek()
		if err != nil {
			return 0, err
		}
		switch c {
		case ' ', '\t', '\r', '\n', ',', 0x1e, 0xef, 0xbb, 0xbf:
			s.take()
		default:
			return c, nil
		}
	}
}

// skipLine passes over the rest of a line that is no JSON.
func (s *Scanner) skipLine(first byte) error {
	m := &Malformed{s.line, fmt.Errorf("no JSON object or array: unexpected %q", first)}
	for {
		if _, err := s.peek(); err != nil {
			return m
		}
		end := bytes.IndexByte(s.in, '\n')
		if end >= 0 {
			s.consumeN(end, false)
			return m
		}
		s.consumeN(len(s.in), false)
	}
}

// skipScalar passes over an element of an array that is no object.
func (s *Scanner) skipScalar() error {
	s.stack, s.expect, s.value = s.stack[:0], expectValue, s.value[:0]
	c, _ := s.peek()
	if c != '"' && !scalarByte(c) {
		m := &Malformed{s.line, fmt.Errorf("unexpected %q in an array", c)}
		s.take() // in any case, or a bracket beyond maxDepth would be met for ever
		for c, err := s.peek(); err == nil && !strings.ContainsRune("{[],\n", rune(c)); c, err = s.peek() {
			s.take()
		}
		return m
	}
	if _, err := s.scan(false); err != nil {
		return s.recover(err)
	}
	return &Malformed{s.start, errors.New("an element of the array is no object")}
}

// recover reports the value that began on line start as broken, and goes where reading can go on: see [Scanner]. A read error
// is passed on.
func (s *Scanner) recover(cause error) error {
	if s.readErr != nil && s.readErr != io.EOF && errors.Is(cause, s.readErr) {
		return cause
	}
	m := &Malformed{s.start, cause}
	depth, inString, escaped := len(s.stack), s.inside, false
	s.inside = false
	if len(s.value) > 0 && len(s.value) <= MaxEventBytes {
		// From its beginning: what was taken for its inside may be the next lines.
		s.in = append(bytes.Clone(s.value), s.in...)
		s.line, s.col0, depth, inString = s.start, false, 0, false
	}
	for {
		c, err := s.peek()
		if err != nil {
			s.outer = nil
			return m
		}
		if s.col0 && (c == '{' || c == '[') {
			s.loose = true
			if len(s.outer) > 1 || (len(s.outer) == 1 && s.outer[0] == '{') {
				s.outer = nil
			}
			return m
		}
		s.take()
		switch {
		case c == '\n':
			inString, escaped = false, false
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				return m
			}
		}
	}
}
