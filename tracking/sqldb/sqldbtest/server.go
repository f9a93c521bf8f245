package sqldbtest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/tracking/sqldb"
)

// The servers of this test binary, started by the first test that needs one and stopped by Main.
var servers struct {
	sync.Mutex
	postgres, mysql *server // guarded by Mutex; nil until started
}

// Main runs the tests of a package and stops the servers that they started; TestMain calls it and exits with its result.
func Main(m *testing.M) int {
	code := m.Run()
	servers.Lock()
	defer servers.Unlock()
	for _, s := range []*server{servers.postgres, servers.mysql} {
		if s != nil {
			s.stop()
		}
	}
	return code
}

// server is one database server: a process of its own, data in a temporary folder, reached by a Unix socket in it.
type server struct {
	dialect sqldb.Dialect
	dir     string
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	admin   *sql.DB
	connect func(database string) (*sql.DB, error)

	mu   sync.Mutex
	made int                 // guarded by mu; number of databases made
	free map[string][]string // guarded by mu; by collation: databases to be used again, with the schema and no rows
}

// serverFor returns the running server of a dialect.
func serverFor(t testing.TB, d sqldb.Dialect) *server {
	t.Helper()
	servers.Lock()
	defer servers.Unlock()
	slot, start := &servers.postgres, startPostgres
	if d == sqldb.MySQL {
		slot, start = &servers.mysql, startMySQL
	}
	if *slot == nil {
		s, err := start()
		if err != nil {
			t.Fatalf("%v\nThe tests run on real servers: `make databases` installs Debian's packages postgresql and mariadb-server.", err)
		}
		*slot = s
	}
	return *slot
}

// owner is who runs a server: PostgreSQL refuses root.
type owner struct {
	uid, gid int
	lent     bool // another user than ours
}

func ownerNamed(names ...string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range append(names, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.Atoi(u.Uid)
		gid, gerr := strconv.Atoi(u.Gid)
		if uerr == nil && gerr == nil {
			return owner{uid: uid, gid: gid, lent: true}, nil
		}
	}
	return owner{}, fmt.Errorf("no user %v to run a database server", names)
}

// command returns a command that runs as the owner, and ends when this process does, even by kill -9.
func (o owner) command(dir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if o.lent {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	return cmd
}

// folder makes a temporary folder of the owner's; its path is short because a socket's must be.
func (o owner) folder() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-db-")
	if err != nil {
		return "", err
	}
	if o.lent {
		err = os.Chown(dir, o.uid, o.gid)
	}
	return dir, err
}

// launch starts the server's process and waits until its admin connection answers.
func (s *server) launch(cmd *exec.Cmd) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	s.process, s.ended = cmd, make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the parent's death signal is tied to the thread that started the process
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		return err
	}
	return s.waitReady()
}

func (s *server) waitReady() error {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended: %s", s.dialect, s.log())
		case <-time.After(20 * time.Millisecond):
		}
		if s.admin.Ping() == nil {
			return nil
		}
	}
	return fmt.Errorf("%s did not answer: %s", s.dialect, s.log())
}

func (s *server) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

func (s *server) stop() {
	_ = s.admin.Close()
	_ = s.process.Process.Kill()
	<-s.ended
	_ = os.RemoveAll(s.dir)
}

// newest returns the last of the paths that match one of the patterns, by version number, or what PATH has under a name.
func newest(names []string, patterns ...string) (string, error) {
	var found []string
	for _, p := range patterns {
		matches, err := filepath.Glob(p)
		if err != nil {
			return "", err
		}
		found = append(found, matches...)
	}
	if len(found) > 0 {
		return slices.MaxFunc(found, func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		}), nil
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", names[0])
}
