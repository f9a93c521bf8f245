package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// mlflowUpgrade moves MLflow's tables to the newest schema. The migrations are MLflow's own programs: this one makes a backup, runs
// them, and looks at what came out.
type mlflowUpgrade struct {
	wanted          bool
	backup, program string
	environ         []string
	out, complaints io.Writer
}

func (m *mlflowUpgrade) run(ctx context.Context, cfg Config) error {
	found, err := sqldb.Inspect(ctx, cfg.BackendStoreURI)
	if err != nil {
		return err
	}
	if found.Newest {
		return nil
	}
	if found.Revision == "" {
		return fmt.Errorf("%s holds no tables of MLflow's", found.URI)
	}
	program, err := m.findProgram(ctx)
	if err != nil {
		return err
	}
	if err := m.makeBackup(ctx, cfg, found.Revision); err != nil {
		return fmt.Errorf("the backup failed, so nothing was changed: %w", err)
	}
	if err := m.migrate(ctx, cfg, program); err != nil {
		return fmt.Errorf("upgrade of MLflow's tables (the backup is %s): %w", m.backup, err)
	}
	found, err = sqldb.Inspect(ctx, cfg.BackendStoreURI)
	if err == nil && !found.Newest {
		err = fmt.Errorf("after the upgrade MLflow's tables are at schema %q instead of %s; the backup is %s", found.Revision, sqldb.HeadRevision(), m.backup)
	}
	return err
}

// findProgram makes sure that MLflow's program leads to the schema that is known here, not past it.
func (m *mlflowUpgrade) findProgram(ctx context.Context) (string, error) {
	path, err := exec.LookPath(m.program)
	if err != nil {
		return "", fmt.Errorf("MLflow's tables are upgraded by MLflow's own program, which is not there (%w): install it with pip install mlflow==%s, "+
			"or name it with --mlflow-program", err, mlflow.Version)
	}
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = m.environ
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	if words := strings.Fields(string(text)); !slices.Contains(words, mlflow.Version) {
		return "", fmt.Errorf("%s is %q, but the schema known here is that of MLflow %s: name such a program with --mlflow-program", path, strings.TrimSpace(string(text)), mlflow.Version)
	}
	return path, nil
}

func (m *mlflowUpgrade) makeBackup(ctx context.Context, cfg Config, revision string) error {
	if m.backup == "" {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return err
		}
		m.backup = filepath.Join(cfg.DataDir, fmt.Sprintf("backup-%s-%s", revision, time.Now().UTC().Format("20060102T150405")))
	}
	size, err := sqldb.Backup(ctx, cfg.BackendStoreURI, m.backup, tools(m.environ))
	if err == nil {
		fmt.Fprintf(m.out, "backup %s: %d bytes\n", m.backup, size)
	}
	return err
}

func (m *mlflowUpgrade) migrate(ctx context.Context, cfg Config, program string) error {
	login, err := sqldb.NewLogin(cfg.BackendStoreURI, filepath.Dir(m.backup))
	if err != nil {
		return err
	}
	defer login.Close()
	cmd := exec.CommandContext(ctx, program, "db", "upgrade", login.URI)
	cmd.Env = slices.Concat(m.environ, login.Environ)
	cmd.Stdout, cmd.Stderr = m.complaints, m.complaints
	return cmd.Run()
}
