package embeddedpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is whom initdb and postgres run as: PostgreSQL refuses to run as root.
type account struct {
	name string
	cred *syscall.Credential // nil: as this process
}

// place is the folder in use and who uses it.
type place struct {
	dir   string // no symbolic link in it: an orphan is recognised by this path
	user  account
	moved bool // it is not the wanted one
}

// fallbackRoot is reachable by every user and outlives a reboot, unlike a temporary folder.
const fallbackRoot = "/var/tmp"

// findPlace makes the folder ready: wanted, or when this is root and the unprivileged user cannot
// get there, one below /var/tmp that is always the same for wanted.
func findPlace(wanted string) (place, error) {
	if os.Geteuid() != 0 {
		if err := os.MkdirAll(wanted, 0o700); err != nil {
			return place{}, err
		}
		dir, err := filepath.EvalSymlinks(wanted)
		return place{dir: dir, user: account{name: "uid " + strconv.Itoa(os.Geteuid())}}, err
	}
	if err := os.MkdirAll(wanted, 0o755); err != nil { //nolint:gosec // the unprivileged user passes through
		return place{}, err
	}
	dir, err := filepath.EvalSymlinks(wanted)
	if err != nil {
		return place{}, err
	}
	acc, err := unprivileged(dir)
	if err != nil {
		return place{}, err
	}
	if reachable(dir, acc) {
		return place{dir: dir, user: acc}, nil
	}
	sum := sha256.Sum256([]byte(dir))
	fallback := filepath.Join(fallbackRoot, "meet-postgres-"+hex.EncodeToString(sum[:6]))
	if err := makeOwnFolder(fallback); err != nil {
		return place{}, err
	}
	if fallback, err = filepath.EvalSymlinks(fallback); err != nil {
		return place{}, err
	}
	if acc, err = unprivileged(fallback); err != nil {
		return place{}, err
	}
	if !reachable(fallback, acc) {
		return place{}, fmt.Errorf("user %s can reach neither %s nor %s", acc.name, dir, fallback)
	}
	return place{dir: fallback, user: acc, moved: true}, nil
}

// makeOwnFolder makes dir, or accepts it when it is root's own: everybody may write where it
// stands, and nobody shall put root's password file in a folder of his.
func makeOwnFolder(dir string) error {
	err := os.Mkdir(dir, 0o755) //nolint:gosec // the unprivileged user passes through
	if err == nil {
		return os.Chmod(dir, 0o755) //nolint:gosec // whatever the umask
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || !fi.IsDir() || st.Uid != 0 || fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s exists and is not a folder that only root can write", dir)
	}
	return nil
}

// unprivileged is the owner of data that exist, else the user that machines keep for this.
func unprivileged(dir string) (account, error) {
	fi, err := os.Stat(filepath.Join(dir, "data"))
	if err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return account{
				name: "uid " + strconv.FormatUint(uint64(st.Uid), 10),
				cred: &syscall.Credential{Uid: st.Uid, Gid: st.Gid},
			}, nil
		}
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseInt(u.Uid, 10, 64)
		gid, gidErr := strconv.ParseInt(u.Gid, 10, 64)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		// macOS writes nobody's ids as -2.
		return account{name: name, cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, errors.New("root cannot run PostgreSQL, and there is no user postgres or nobody to run it as")
}

// reachable tells whether acc can enter dir, by trying: a child that becomes acc and changes into
// dir before it executes a program that is not there. Only who came in finds out that it is absent.
func reachable(dir string, acc account) bool {
	missing := filepath.Join(dir, ".no-such-program")
	_, err := os.StartProcess(missing, []string{missing}, &os.ProcAttr{
		Dir: dir, Sys: &syscall.SysProcAttr{Credential: acc.cred},
	})
	return errors.Is(err, os.ErrNotExist)
}

// initialise makes data and password unless they are there, and gives the password. It can be
// killed at any point: data that were not finished are made anew.
func (s *Server) initialise(ctx context.Context, place place, bin string) (string, error) {
	const unfinished = "initdb-"
	left, err := filepath.Glob(filepath.Join(place.dir, unfinished+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			s.log.WarnContext(ctx, "cannot remove what an interrupted start left", "dir", dir, "error", err)
		}
	}

	data, passwordFile := s.dataDir(), filepath.Join(place.dir, "password")
	switch made, err := exists(filepath.Join(data, "PG_VERSION")); {
	case errors.Is(err, os.ErrPermission):
		return "", fmt.Errorf("the data in %s belong to another user; start as that user or as root: %w", data, err)
	case err != nil:
		return "", err
	case made:
		password, err := os.ReadFile(passwordFile)
		if err != nil {
			return "", fmt.Errorf("read the password of the data in %s: %w", data, err)
		}
		return strings.TrimSpace(string(password)), nil
	}

	began := time.Now()
	password := randomPassword()
	if err := writePassword(passwordFile, password, place.user); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(place.dir, unfinished)
	if err != nil {
		return "", err
	}
	if err := chown(fresh, place.user); err != nil {
		return "", err
	}
	args := []string{
		"-D", fresh, "-U", role, "-A", "scram-sha-256", "--pwfile=" + passwordFile,
		"-E", "UTF8", "--locale=C.UTF-8",
	}
	if runtime.GOOS == "darwin" { // has no C.UTF-8; order by bytes, letters by Unicode, as above
		args = append(args[:len(args)-1], "--locale=C", "--lc-ctype=en_US.UTF-8")
	}
	if s.cfg.Throwaway {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir, cmd.Env = fresh, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: place.user.cred, Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("initdb: %w: %s", err, reasonIn(string(out))), os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, data); err != nil { // fails on anything that is there and not empty
		return "", errors.Join(fmt.Errorf("put new data in place: %w", err), os.RemoveAll(fresh))
	}
	s.log.InfoContext(ctx, "made a new database cluster", "data", data, "user", place.user.name, "took", time.Since(began))
	return password, syncFolder(place.dir)
}

// writePassword makes the file readable for nobody but acc, whose initdb reads it, before it has a
// content.
func writePassword(path, password string, acc account) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := chown(path, acc); err != nil {
		return err
	}
	if _, err := f.WriteString(password + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// chown gives what this process made to acc.
func chown(path string, acc account) error {
	if acc.cred == nil {
		return nil
	}
	return os.Lchown(path, int(acc.cred.Uid), int(acc.cred.Gid))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// environment is what initdb and postgres see: nothing of the program's own settings and secrets.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// reasonIn finds why a program of PostgreSQL failed in what it wrote: the lines that say so, else the
// last ones. The answer is one line.
func reasonIn(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var said []string
	for _, line := range lines {
		if strings.Contains(line, "FATAL:") || strings.Contains(line, "ERROR:") || strings.Contains(line, "error:") {
			said = append(said, strings.TrimSpace(line))
		}
	}
	if len(said) == 0 {
		said = lines
	}
	return strings.Join(said[max(0, len(said)-4):], "; ")
}
