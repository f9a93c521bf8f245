package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"sluice/tracking/mlflow"
)

// Backup copies a database, as of one commit, into a new file that only its owner reads, while servers go on working on it. The copy is
// checked and durable before it appears under its name. It returns the size in bytes.
//
// A copy of SQLite is a database; those of PostgreSQL and MySQL are the SQL that their own programs write, found by tools. Returns
// ALREADY_EXISTS if file is there, NOT_FOUND if a SQLite database is not, NOT_IMPLEMENTED with the name of a program that is missing,
// and DATA_LOSS for a copy that is not whole.
func Backup(ctx context.Context, uri, file string, tools Tools) (int64, error) {
	addr, raw, err := openExisting(ctx, uri)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	if _, err := os.Lstat(file); err == nil {
		return 0, mlflow.Errorf(mlflow.AlreadyExists, "%s is there already", file)
	}
	tmp := fmt.Sprintf("%s.%d.partial", file, time.Now().UnixNano())
	if err := createPrivate(tmp); err != nil {
		return 0, err
	}
	defer os.Remove(tmp)
	if err := copyDatabase(ctx, addr, raw, tmp, tools); err != nil {
		return 0, err
	}
	size, err := syncFile(tmp)
	if err != nil {
		return 0, err
	}
	if err := os.Link(tmp, file); err != nil { // unlike a rename it never replaces
		return 0, fmt.Errorf("name the copy: %w", err)
	}
	return size, nil
}

func copyDatabase(ctx context.Context, addr Address, raw *sql.DB, file string, tools Tools) error {
	if addr.Dialect != SQLite {
		return dump(ctx, addr, raw, file, tools)
	}
	if _, err := raw.ExecContext(ctx, "VACUUM INTO ?", file); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return checkCopy(ctx, file)
}

func checkCopy(ctx context.Context, file string) error {
	db := openFile(file)
	defer db.Close()
	found, err := problems(ctx, db)
	if err != nil {
		return fmt.Errorf("check the copy: %w", err)
	}
	if len(found) > 0 {
		return mlflow.Errorf(mlflow.DataLoss, "the copy is damaged as the database is: %s", found[0])
	}
	return nil
}

// syncFile makes the file durable and returns its size in bytes.
func syncFile(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), nil
}
