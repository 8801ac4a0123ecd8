//go:build container

package containertest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// canaries are files as they lie about in a checkout, none of which may come into an image.
var canaries = []string{
	".env",
	".env.production",
	".git/config",
	".data/postgres/PG_VERSION",
	"bin/gateway",
	"service-account.json",
	"google-credentials.json",
	"deploy/compose/secrets/postgres_password",
	"deploy/compose/.env",
	"pkg/config/.env",
	"pkg/config/server.key",
	"pkg/config/server.pem",
	"services/scheduler/credentials.json",
	"services/gateway/cmd/gateway/tls.key",
	"services/gateway/cmd/gateway/id_rsa",
	"services/meetings/backup/meet.dump",
}

// copyTree copies the files that git knows or could know, and plants the canaries beside them.
func (r *run) copyTree() {
	r.t.Helper()
	files := r.command("git", "-C", r.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for path := range strings.SplitSeq(strings.TrimSuffix(files, "\x00"), "\x00") {
		if err := copyFile(filepath.Join(r.root, path), filepath.Join(r.tree, path)); err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted, and git not told yet
			r.t.Fatal(err)
		}
	}
	for _, path := range canaries {
		if _, err := os.Stat(filepath.Join(r.tree, path)); err == nil {
			r.t.Fatalf("%s is part of the tree", path)
		}
		r.write(path, "MEET_CANARY="+r.secret+"\n")
	}
}

// write writes a file of the copy.
func (r *run) write(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.tree, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
