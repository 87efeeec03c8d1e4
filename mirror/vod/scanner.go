package vod

import (
	"errors"
	"fmt"
	"io"
)

// Limits on one event; they bound what a file can make us hold. Real events have some 100 bytes a picture.
const (
	MaxEventBytes = 16 << 20
	maxDepth      = 200
)

// Malformed is a piece of input that can't be used. The scanner goes on behind it.
type Malformed struct {
	// Line is where the piece begins, counted from 1.
	Line int
	Err  error
}

func (m *Malformed) Error() string { return fmt.Sprintf("line %d: %v", m.Line, m.Err) }

// Unwrap gives the reason.
func (m *Malformed) Unwrap() error { return m.Err }

// Scanner cuts a stream into events: NDJSON, concatenated JSON, JSON arrays, PullEvents answers and any mixture, one after the
// other. It holds one event at a time, whatever the size of the array or answer around it.
//
// It tracks JSON's structure and leaves literals to the decoder. When a value is broken, it goes on behind the value's closing
// brace, or at the next line that begins with a brace or bracket in column 0, whichever comes first: so neither a cut line of
// NDJSON nor a bad element of an array costs its neighbours.
type Scanner struct {
	src     io.Reader
	block   []byte
	in      []byte // what is read and not yet scanned
	readErr error

	line  int // of in's first byte
	col0  bool
	outer []byte // the arrays '[' and envelope objects '{' that have been entered
	loose bool   // nesting was lost, so closing brackets may be left over

	// The value being scanned.
	value  []byte
	start  int // its line
	stack  []byte
	expect expectation
	inside bool // a string of it
}

type expectation byte

const (
	expectValue expectation = iota
	expectValueOrEnd
	expectKey
	expectKeyOrEnd
	expectColon
	expectCommaOrEnd
)

// NewScanner reads from r.
func NewScanner(r io.Reader) *Scanner {
	return &Scanner{src: r, block: make([]byte, 64<<10), line: 1, col0: true}
}

// Line is the number of the line that has been reached, counted from 1.
func (s *Scanner) Line() int { return s.line }

// Next gives the text of the next JSON object and the line where it begins; the text is good until the next call. The error is
// a *Malformed, after which Next can be called again, or io.EOF, or what reading said.
func (s *Scanner) Next() (text []byte, line int, _ error) {
	for {
		if n := len(s.outer); n > 0 && s.outer[n-1] == '{' {
			if err := s.leaveEnvelope(); err != nil {
				return nil, 0, err
			}
			continue
		}
		c, err := s.skipSpace()
		if err == io.EOF && len(s.outer) > 0 {
			s.outer = nil
			return nil, 0, &Malformed{s.line, errors.New("the input ends inside an array")}
		}
		if err != nil {
			return nil, 0, err
		}
		s.start = s.line
		inArray := len(s.outer) > 0
		switch {
		case c == '{':
			enveloped, err := s.object()
			if err != nil {
				return nil, 0, err
			}
			if !enveloped {
				return s.value, s.start, nil
			}
		case c == '[' && len(s.outer) < maxDepth:
			s.take()
			s.outer = append(s.outer, '[')
		case c == ']' && inArray:
			s.take()
			s.outer = s.outer[:len(s.outer)-1]
		case (c == ']' || c == '}') && s.loose:
			s.take()
		case inArray:
			return nil, 0, s.skipScalar()
		default:
			return nil, 0, s.skipLine(c)
		}
	}
}

// object scans the object that begins here. It is an envelope when it turns out to hold others: then it has been entered, and
// nothing is kept of it.
func (s *Scanner) object() (enveloped bool, _ error) {
	for {
		s.value, s.stack, s.expect = s.value[:0], s.stack[:0], expectValue
		found, err := s.scan(true)
		switch {
		case err != nil:
			return false, s.recover(err)
		case found == 0:
			return enveloped, nil
		}
		enveloped = true
		s.outer = append(s.outer, '{')
		if len(s.outer) > maxDepth {
			return false, s.recover(errors.New("nested too deeply"))
		}
		if found == '[' {
			s.take()
			s.outer = append(s.outer, '[')
			return true, nil
		}
		s.start = s.line
	}
}

// leaveEnvelope reads what comes in an envelope object behind the array or object that was entered.
func (s *Scanner) leaveEnvelope() error {
	s.outer = s.outer[:len(s.outer)-1]
	s.start, s.value = s.line, s.value[:0]
	s.stack, s.expect = append(s.stack[:0], '{'), expectCommaOrEnd
	if _, err := s.scan(false); err != nil {
		return s.recover(err)
	}
	return nil
}

// envelopes are the members that hold events or media, or an envelope: answers on the wire and as SDKs print them, and v2's. Its
// other list, under "data", is left to [Decode]: events of v2 have such a member themselves.
var envelopes = map[string]byte{"Response": '{', "EventSet": '[', "eventList": '[', "MediaInfoSet": '['}

// scan reads one value to its end, or to where an envelope's contents begin, and then says with which bracket. With keep, the
// text is in s.value.
func (s *Scanner) scan(keep bool) (envelope byte, _ error) {
	keyAt, key := 0, ""
	for {
		c, err := s.peek()
		if err == io.EOF {
			return 0, errors.New("the input ends inside it")
		}
		if err != nil {
			return 0, err
		}
		if len(s.value) > MaxEventBytes {
			return 0, fmt.Errorf("it is larger than %d MiB", MaxEventBytes>>20)
		}
		atKey := len(s.stack) == 1 && (s.expect == expectKey || s.expect == expectKeyOrEnd)
		switch c {
		case ' ', '\t', '\r', '\n':
			s.consume(keep)
			continue
		case '{', '[':
			if s.expect != expectValue && s.expect != expectValueOrEnd {
				return 0, fmt.Errorf("unexpected %q on line %d", c, s.line)
			}
			if keep && len(s.stack) == 1 && key != "" && envelopes[key] == c {
				return c, nil
			}
			if len(s.stack) >= maxDepth {
				return 0, errors.New("nested too deeply")
			}
			s.stack = append(s.stack, c)
			s.expect = expectKeyOrEnd
			if c == '[' {
				s.expect = expectValueOrEnd
			}
			s.consume(keep)
			continue
		case '}', ']':
			if !s.closes(c) {
				return 0, fmt.Errorf("unexpected %q on line %d", c, s.line)
			}
			s.consume(keep)
			s.stack = s.stack[:len(s.stack)-1]
		case ',':
			if s.expect != expectCommaOrEnd {
				return 0, fmt.Errorf("unexpected ',' on line %d", s.line)
			}
			s.expect = expectValue
			if s.stack[len(s.stack)-1] == '{' {
				s.expect = expectKey
			}
			s.consume(keep)
			continue
		case ':':
			if s.expect != expectColon {
				return 0, fmt.Errorf("unexpected ':' on line %d", s.line)
			}
			s.expect = expectValue
			s.consume(keep)
			continue
		case '"':
			if s.expect == expectColon || s.expect == expectCommaOrEnd {
				return 0, fmt.Errorf("unexpected string on line %d", s.line)
			}
			keyAt = len(s.value) + 1
			if err := s.str(keep); err != nil {
				return 0, err
			}
			if s.expect == expectKey || s.expect == expectKeyOrEnd {
				s.expect = expectColon
				if key = ""; keep && atKey {
					key = string(s.value[keyAt : len(s.value)-1])
				}
				continue
			}
		default:
			if !scalarByte(c) || (s.expect != expectValue && s.expect != expectValueOrEnd) {
				return 0, fmt.Errorf("unexpected %q on line %d", c, s.line)
			}
			s.scalar(keep)
		}
		if len(s.stack) == 0 {
			return 0, nil
		}
		s.expect = expectCommaOrEnd
	}
}

// closes says whether c may close what is open.
func (s *Scanner) closes(c byte) bool {
	open, other := byte('{'), expectKeyOrEnd
	if c == ']' {
		open, other = '[', expectValueOrEnd
	}
	return len(s.stack) > 0 && s.stack[len(s.stack)-1] == open && (s.expect == expectCommaOrEnd || s.expect == other)
}

// str reads a string, whose opening quote is next.
func (s *Scanner) str(keep bool) error {
	s.consume(keep)
	s.inside = true
	for escaped := false; ; {
		if _, err := s.peek(); err != nil {
			if err == io.EOF {
				err = errors.New("the input ends inside it")
			}
			return err
		}
		n := 0
		for n < len(s.in) {
			c := s.in[n]
			if c < ' ' {
				s.consumeN(n, keep)
				return fmt.Errorf("a string has a raw %q on line %d", c, s.line)
			}
			n++
			if escaped {
				escaped = false
			} else if c == '\\' {
				escaped = true
			} else if c == '"' {
				s.consumeN(n, keep)
				s.inside = false
				return nil
			}
		}
		s.consumeN(n, keep)
		if len(s.value) > MaxEventBytes {
			return fmt.Errorf("it is larger than %d MiB", MaxEventBytes>>20)
		}
	}
}

// scalarByte is what numbers and literals are made of; the decoder judges them.
func scalarByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

func (s *Scanner) scalar(keep bool) {
	for {
		n := 0
		for n < len(s.in) && scalarByte(s.in[n]) {
			n++
		}
		rest := n == len(s.in)
		s.consumeN(n, keep)
		if !rest || len(s.value) > MaxEventBytes {
			return
		}
		if _, err := s.peek(); err != nil {
			return // met again by scan
		}
	}
}
