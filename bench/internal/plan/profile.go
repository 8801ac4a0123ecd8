package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// profiled runs do, and when wanted takes a CPU profile of the program meanwhile.
func (s *session) profiled(ctx context.Context, wanted bool, do func()) error {
	if !wanted {
		do()
		return nil
	}
	taken := make(chan error, 1)
	go func() { taken <- s.profile(ctx) }()
	do()
	return <-taken
}

func (s *session) profile(ctx context.Context) error {
	seconds := max(int(s.o.Each.Seconds())-1, 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.Ops, seconds), nil)
	if err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("take a profile: %s", resp.Status)
	}
	file, err := os.Create(s.o.ProfileFile)
	if err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	_, err = io.Copy(file, resp.Body)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	return nil
}
