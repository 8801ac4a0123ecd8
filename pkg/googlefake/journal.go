package googlefake

import (
	"bufio"
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

// replay reads a journal, gives each line to apply, and says how many there were and where the last
// whole one ends. A last line that was cut off is left out.
func replay(dir string, apply func(line []byte) error) (lines int, size int64, err error) {
	f, err := os.Open(filepath.Join(dir, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("open the emulator's state: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return lines, size, nil // what stands after the last newline was never answered
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read the emulator's state: %w", err)
		}
		if err := apply(line); err != nil {
			if _, end := r.Peek(1); errors.Is(end, io.EOF) && !json.Valid(line) {
				return lines, size, nil
			}
			return 0, 0, fmt.Errorf("line %d of %s is damaged (%w); remove the file to start afresh", lines+1, f.Name(), err)
		}
		lines++
		size += int64(len(line))
	}
}

// reopen goes on after the whole lines of a journal.
func reopen(dir string, size int64) (*journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the emulator's state: %w", err)
	}
	if err = f.Truncate(size); err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the emulator's state: %w", err), f.Close())
	}
	return &journal{file: f, size: size}, nil
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
