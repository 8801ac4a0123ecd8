package googlefake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const journalFile = "state.jsonl"

// journal is the emulator's memory on disk: one JSON object a line, appended by a single write
// before the answer that it belongs to. A process that is killed loses nothing of it; a machine that
// loses power may lose the end, as nothing is synced.
type journal struct {
	file *os.File
	size int64 // of what is whole
}

// replay reads a journal and gives each line to apply. A last line that was cut off is left out.
func replay(dir string, apply func(line []byte) error) error {
	f, err := os.Open(filepath.Join(dir, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the emulator's state: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what stands after the last newline was never answered
		}
		if err != nil {
			return fmt.Errorf("read the emulator's state: %w", err)
		}
		if !json.Valid(line) {
			if _, err := r.Peek(1); errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("line %d of %s is damaged; remove the file to start afresh", n, f.Name())
		}
		if err := apply(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return fmt.Errorf("line %d of %s: %w", n, f.Name(), err)
		}
	}
}

// rewrite replaces the journal by lines and opens it for more.
func rewrite(dir string, write func(w io.Writer) error) (*journal, error) {
	path := filepath.Join(dir, journalFile)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("compact the emulator's state: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync() // the old file goes away next
	}
	var size int64
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("compact the emulator's state: %w", err), f.Close())
	}
	return &journal{file: f, size: size}, nil
}

// append writes whole lines. After an error none of them counts.
func (j *journal) append(lines []byte) error {
	n, err := j.file.Write(lines)
	if err != nil {
		if n > 0 {
			if e := j.file.Truncate(j.size); e != nil {
				return errors.Join(err, e)
			}
			if _, e := j.file.Seek(j.size, io.SeekStart); e != nil {
				return errors.Join(err, e)
			}
		}
		return fmt.Errorf("write the emulator's state: %w", err)
	}
	j.size += int64(n)
	return nil
}
