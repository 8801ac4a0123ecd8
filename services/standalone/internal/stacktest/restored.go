package stacktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrNoTool says that a program of Postgres, such as pg_dump, is not beside the server's.
var ErrNoTool = errors.New("not installed beside the server")

// tool is the path of a program of Postgres of the very version that the stack's server has.
func (s *Stack) tool(name string) (string, error) {
	owner := s
	if s.options.Postgres != nil {
		owner = s.options.Postgres
	}
	server, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", postmaster(owner.pgData)))
	if err != nil {
		return "", fmt.Errorf("find the server's program: %w", err)
	}
	path := filepath.Join(filepath.Dir(server), name)
	if _, err := exec.LookPath(path); err != nil {
		return "", fmt.Errorf("%s: %w", path, ErrNoTool)
	}
	return path, nil
}

// runTool runs one of them on the stack's database.
func (s *Stack) runTool(ctx context.Context, name string, args ...string) error {
	path, err := s.tool(name)
	if err != nil {
		return err
	}
	c, err := pgx.ParseConfig(s.database)
	if err != nil {
		return fmt.Errorf("the database's URL: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{
		"PGHOST=" + c.Host, "PGPORT=" + strconv.Itoa(int(c.Port)), "PGUSER=" + c.User, "PGPASSWORD=" + c.Password, "PGDATABASE=" + c.Database,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Dump writes a backup of the stack's database, as an operator would. [ErrNoTool]: this machine can't.
func (s *Stack) Dump(ctx context.Context, file string) error {
	return s.runTool(ctx, "pg_dump", "--format=custom", "--file="+file)
}

// Restore drops the stack's database and brings it back from a backup.
func (s *Stack) Restore(ctx context.Context, file string) error {
	c, err := pgx.ParseConfig(s.database)
	if err != nil {
		return fmt.Errorf("the database's URL: %w", err)
	}
	name := pgx.Identifier{c.Database}.Sanitize()
	c.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	for _, sql := range []string{"DROP DATABASE " + name + " WITH (FORCE)", "CREATE DATABASE " + name} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return s.runTool(ctx, "pg_restore", "--exit-on-error", "--no-owner", "--dbname="+strings.Trim(name, `"`), file)
}

// AfterRestore runs meetings after-restore with the first instance's settings and these besides. It gives what it wrote: said to a
// person, and printed for a program.
func (s *Stack) AfterRestore(ctx context.Context, env []string, args ...string) (said, printed string, err error) {
	p := s.Meetings[0]
	cmd := exec.CommandContext(ctx, p.path, append([]string{"after-restore"}, args...)...)
	cmd.Env = append(append([]string{"HOME=" + os.Getenv("HOME")}, p.env...), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err != nil {
		err = fmt.Errorf("meetings after-restore: %w: %s", err, stderr.String())
	}
	return stderr.String(), stdout.String(), err
}

// StopServices ends every service with SIGTERM.
func (s *Stack) StopServices() error {
	var errs []error
	for _, p := range s.Services() {
		_, err := p.Stop()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
