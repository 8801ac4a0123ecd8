package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// table is rows of cells.
type table [][]string

// show writes msg as JSON, or its table.
func (s *session) show(msg proto.Message, rows table) error {
	if s.output == "json" {
		body, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(msg)
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		var indented bytes.Buffer // protojson's own spaces differ from build to build
		if err := json.Indent(&indented, body, "", "  "); err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		indented.WriteByte('\n')
		_, err = indented.WriteTo(s.terminal.Out)
		return err
	}
	w := tabwriter.NewWriter(s.terminal.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = clean(cell)
		}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// clean keeps what a server sends from moving a terminal's cursor or breaking a table.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, text)
}

func (s *session) time(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().In(s.location()).Format("2006-01-02 15:04 -07:00")
}

// word is an enum's value without its prefix, in lower case: MEETING_STATUS_CREATED is created.
func word(value fmt.Stringer, prefix string) string {
	name := strings.ToLower(strings.TrimPrefix(value.String(), prefix))
	if name == "unspecified" {
		return "-"
	}
	return name
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// pause between two looks at something under way, and the longest one.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)
