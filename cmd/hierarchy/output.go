package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// writeJSON writes v as one line.
func (a *app) writeJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// printf writes a line for people.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// table returns a writer that aligns what is separated by tabs. It must be flushed.
func (a *app) table() *tabwriter.Writer { return tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0) }

// bar returns a progress bar for n of something, on a terminal, and one that nobody
// sees elsewhere.
func (a *app) bar(what string, n int) *progressbar.ProgressBar {
	if !terminal(a.err) {
		return progressbar.DefaultSilent(int64(n))
	}
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond))
}

// terminal reports whether w shows on a terminal.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a descriptor is a small number
}

// colour is an SGR parameter of a terminal.
type colour string

const (
	plain  colour = ""
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
	faint  colour = "2"
)

// colours reports whether output may be coloured: on a terminal, unless NO_COLOR is
// set (no-color.org).
func (a *app) colours() bool { return os.Getenv("NO_COLOR") == "" && terminal(a.out) }

// paint colours text if on, and pads it to a width first, so that escapes do not
// count.
func paint(on bool, c colour, text string, width int) string {
	if n := utf8.RuneCountInString(text); n < width {
		text += strings.Repeat(" ", width-n)
	}
	if !on || c == plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// clock shows a time of today or of another day.
func clock(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05.000")
	}
	return t.Format("2006-01-02 15:04:05")
}

// short is the tail of an id: the head of one made by the clock is the same for all
// that were made in the same minute.
func short(id uuid.UUID) string {
	text := id.String()
	return ".." + text[len(text)-8:]
}

// compact shows a JSON value in at most n characters.
func compact(value json.RawMessage, n int) string {
	text := string(value)
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-3]) + "..."
}
