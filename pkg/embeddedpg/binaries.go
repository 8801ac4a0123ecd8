package embeddedpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// minMajor is the oldest PostgreSQL that the program's SQL is written for.
const minMajor = 15

// ErrNoBinaries is wrapped where no usable PostgreSQL is found and none can be downloaded.
var ErrNoBinaries = errors.New("no usable PostgreSQL binaries")

// globs are the folders where packages put the binaries, off PATH or not linked into it.
func globs() []string {
	return []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // PGDG on Red Hat and kin
		"/usr/libexec/postgresql*",  // Alpine
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin", // built from source
	}
}

// binaries gives the folder of the newest postgres and initdb that can be used: of the data's own
// major version when there are data, for another cannot read them.
func (s *Server) binaries(ctx context.Context, place place) (string, error) {
	major, err := dataMajor(filepath.Join(place.dir, "data"))
	if err != nil {
		return "", err
	}
	if s.cfg.BinDir != "" {
		found, err := majorOf(ctx, s.cfg.BinDir, place.user)
		switch {
		case err != nil:
			return "", fmt.Errorf("%w in MEET_POSTGRES_BIN: %w", ErrNoBinaries, err)
		case found < minMajor:
			return "", fmt.Errorf("%w: MEET_POSTGRES_BIN has PostgreSQL %d, needed is %d or newer", ErrNoBinaries, found, minMajor)
		case major != 0 && found != major:
			return "", otherMajor(place.dir, major, found)
		}
		return s.cfg.BinDir, nil
	}

	best, bestMajor, other := "", 0, 0
	for _, dir := range installed() {
		switch found, err := majorOf(ctx, dir, place.user); {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err != nil || found < minMajor:
		case major != 0 && found != major:
			other = found
		case found > bestMajor:
			best, bestMajor = dir, found
		}
		if bestMajor != 0 && onPath(best) {
			break // what the user chose for himself wins over a newer one
		}
	}
	if best != "" {
		return best, nil
	}
	dir, err := s.download(ctx, place, major)
	if err == nil {
		return dir, nil
	}
	if other != 0 {
		return "", errors.Join(otherMajor(place.dir, major, other), err)
	}
	return "", fmt.Errorf("%w of version %d or newer on this machine (%w); install them with: %s",
		ErrNoBinaries, minMajor, err, installCommand(runtime.GOOS))
}

func otherMajor(dir string, data, found int) error {
	return fmt.Errorf("%w: the data in %s were made by PostgreSQL %d and the one here is %d; install version %d, or move the folder away",
		ErrNoBinaries, dir, data, found, data)
}

func installCommand(goos string) string {
	if goos == "darwin" {
		return "brew install postgresql@17"
	}
	return "apt-get install postgresql"
}

// dataMajor is the major version that made data, 0 when there are none.
func dataMajor(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("the data cannot be read by this user: %w", err)
	}
	var major int
	if _, err := fmt.Sscanf(string(b), "%d", &major); err != nil {
		return 0, fmt.Errorf("%s names no version: %w", filepath.Join(data, "PG_VERSION"), err)
	}
	return major, nil
}

// installed lists folders that may hold the binaries: PATH's first, then newest first.
func installed() []string {
	var dirs []string
	for _, pattern := range globs() {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // cannot be: the patterns are constants
		}
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		dirs = append(dirs, found...)
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		dirs = slices.Insert(dirs, 0, filepath.Dir(initdb))
	}
	return dirs
}

// onPath tells whether dir is where PATH has initdb.
func onPath(dir string) bool {
	initdb, err := exec.LookPath("initdb")
	return err == nil && filepath.Dir(initdb) == dir
}

var (
	digits  = regexp.MustCompile(`\d+`)
	version = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
)

func numberIn(path string) int {
	n, err := strconv.Atoi(digits.FindString(path))
	if err != nil {
		return 0
	}
	return n
}

// majorOf runs the binaries in dir as acc and gives their major version.
func majorOf(ctx context.Context, dir string, acc account) (int, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Dir, cmd.Env = "/", environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: acc.cred}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("run %s as %s: %w", cmd.Path, acc.name, err)
	}
	m := version.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s names no version", cmd.Path)
	}
	return strconv.Atoi(string(m[1]))
}

// downloads are the releases that the embedded-postgres library fetches from Maven Central.
func downloads() map[int]embeddedpostgres.PostgresVersion {
	return map[int]embeddedpostgres.PostgresVersion{
		15: embeddedpostgres.V15, 16: embeddedpostgres.V16, 17: embeddedpostgres.V17, 18: embeddedpostgres.V18,
	}
}

// download gives the folder of binaries of major (0: any) from the cache, which it fills first.
func (s *Server) download(ctx context.Context, place place, major int) (string, error) {
	if major == 0 {
		major = 17
	}
	release, ok := downloads()[major]
	if !ok {
		return "", fmt.Errorf("nothing to download for PostgreSQL %d", major)
	}
	cache := s.cfg.CacheDir
	if cache == "" {
		cache = place.dir
	}
	root := filepath.Join(cache, "postgresql-"+string(release))
	bin := filepath.Join(root, "bin")
	if _, err := majorOf(ctx, bin, place.user); err == nil {
		return bin, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // the unprivileged user passes through
		return "", err
	}
	s.log.InfoContext(ctx, "no PostgreSQL on this machine; downloading one", "version", string(release), "into", root)
	// The library takes no context. If ctx ends first the download goes on, and what it brings is
	// there for the next start.
	fetched := make(chan error, 1)
	go func() { fetched <- s.fetch(cache, root, release) }()
	select {
	case err := <-fetched:
		if err != nil {
			return "", fmt.Errorf("download PostgreSQL %s: %w", release, err)
		}
	case <-ctx.Done():
		return "", fmt.Errorf("download PostgreSQL %s: %w", release, context.Cause(ctx))
	}
	if _, err := majorOf(ctx, bin, place.user); err != nil {
		return "", fmt.Errorf("the downloaded PostgreSQL %s: %w", release, err)
	}
	return bin, nil
}

// fetch puts the binaries below root. All the library offers is to start a server, so it is let to
// start one on data of no use. As root that part must fail, after the binaries are in place.
func (s *Server) fetch(cache, root string, release embeddedpostgres.PostgresVersion) error {
	work, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)                    //nolint:errcheck // a leftover does no harm
	unpacked := filepath.Join(work, "binaries") // file by file: not to be seen by others until it is whole
	port, err := bind(context.Background(), 0)
	if err != nil {
		return err
	}
	c := embeddedpostgres.DefaultConfig().Version(release).Logger(io.Discard).
		Port(uint32(port)).
		CachePath(filepath.Join(work, "archive")).RuntimePath(filepath.Join(work, "run")).BinariesPath(unpacked)
	if s.cfg.Mirror != "" {
		c = c.BinaryRepositoryURL(s.cfg.Mirror)
	}
	defer removeNewLogs(libraryLogFiles())
	db := embeddedpostgres.NewDatabase(c)
	startErr := db.Start()
	if startErr == nil {
		startErr = db.Stop()
	}
	if _, err := os.Stat(filepath.Join(unpacked, "bin", "postgres")); err != nil {
		return errors.Join(startErr, err)
	}
	err = os.Rename(unpacked, root)
	if there, _ := exists(root); there {
		return nil // another process may have been quicker; the caller tries what is there
	}
	return err
}

// libraryLogs are the files that the library makes in the temporary folder and leaves there.
const libraryLogs = "embedded_postgres_log*"

func libraryLogFiles() []string {
	files, err := filepath.Glob(filepath.Join(os.TempDir(), libraryLogs))
	if err != nil {
		return nil // cannot be: the pattern is a constant
	}
	return files
}

// removeNewLogs removes those that were not there before.
func removeNewLogs(before []string) {
	for _, file := range libraryLogFiles() {
		if !slices.Contains(before, file) {
			_ = os.Remove(file) // of no use, and empty or nearly so
		}
	}
}
