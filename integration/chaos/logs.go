package chaos

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Said is what workers said in their logs that a run counts. Those that were killed
// can say nothing any other way.
type Said struct {
	Starts  int `json:"starts"`
	Claims  int `json:"claims"`
	Refused int `json:"refused"` // commits of which a condition did not hold
	Fenced  int `json:"fenced"`  // partitions found to be another worker's
	Unknown int `json:"unknown"` // partitions whose commit nobody knew to be stored or not
	Halted  int `json:"halted"`  // claims of a partition whose streams contradict each other
	Panics  int `json:"panics"`
}

// phrases are what the lines of a log are known by.
func (s *Said) phrases() map[string]*int {
	return map[string]*int{
		`"msg":"worker starts"`:                                &s.Starts,
		`"msg":"claimed a partition"`:                          &s.Claims,
		`"msg":"commit refused"`:                               &s.Refused,
		"another worker owns the partition":                    &s.Fenced,
		"the broker did not say whether the commit was stored": &s.Unknown,
		`"halted":true`:                                        &s.Halted,
		"panic: ":                                              &s.Panics,
	}
}

// listen reads the logs of all workers in a folder.
func listen(folder string) (said Said, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "worker-*.log"))
	if err != nil {
		return said, fmt.Errorf("looking for logs: %w", err)
	}
	phrases := said.phrases()
	for _, name := range files {
		if err := count(name, phrases); err != nil {
			return said, err
		}
	}
	return said, nil
}

func count(name string, phrases map[string]*int) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading a log: %w", err)
	}
	defer file.Close() // it was only read
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		for phrase, n := range phrases {
			if strings.Contains(lines.Text(), phrase) {
				*n++
			}
		}
	}
	return lines.Err()
}
