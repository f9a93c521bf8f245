package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"

	"sluice/tracking/mlflow"
)

// class is what a database error means to us, whatever the dialect.
type class int

const (
	classOther class = iota
	classUnique
	classForeignKey
	classCheck       // CHECK or NOT NULL
	classWidth       // a value that its column cannot hold
	classDeadlock    // the transaction may do better when it runs again
	classUnavailable // the database cannot answer now
)

// IsUniqueViolation says whether err is a statement refused because its key exists.
func IsUniqueViolation(err error) bool { return classOf(err) == classUnique }

// IsForeignKeyViolation says whether err is a statement refused because the row it refers to does not exist.
func IsForeignKeyViolation(err error) bool { return classOf(err) == classForeignKey }

// IsCheckViolation says whether err is a statement refused by a CHECK or NOT NULL constraint.
func IsCheckViolation(err error) bool { return classOf(err) == classCheck }

// classOf sorts a driver's error.
func classOf(err error) class {
	var lite sqlite3.Error
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	switch {
	case err == nil:
		return classOther
	case errors.As(err, &lite):
		return sqliteClass(lite)
	case errors.As(err, &pg):
		return postgresClass(pg.Code)
	case errors.As(err, &my):
		return mysqlClass(my.Number)
	case lostConnection(err):
		return classUnavailable
	case strings.Contains(err.Error(), "failed to encode args[") && outOfRange.MatchString(err.Error()):
		return classWidth
	}
	return classOther
}

// outOfRange is what pgx says, in plain text, of a number that the parameter's type cannot hold.
var outOfRange = regexp.MustCompile(`is (greater than maximum|less than minimum) value for \w+$`)

func sqliteClass(e sqlite3.Error) class {
	switch e.ExtendedCode {
	case sqlite3.ErrConstraintUnique, sqlite3.ErrConstraintPrimaryKey:
		return classUnique
	case sqlite3.ErrConstraintForeignKey:
		return classForeignKey
	case sqlite3.ErrConstraintCheck, sqlite3.ErrConstraintNotNull:
		return classCheck
	}
	switch e.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrIoErr, sqlite3.ErrFull, sqlite3.ErrCantOpen, sqlite3.ErrReadonly:
		return classUnavailable
	}
	return classOther
}

// postgresClass sorts SQLSTATEs (source: PostgreSQL 15 documentation, appendix A).
func postgresClass(state string) class {
	switch state {
	case "23505":
		return classUnique
	case "23503":
		return classForeignKey
	case "23502", "23514":
		return classCheck
	case "22001", "22003", "22021", "22P05": // too long, out of range, a character that the encoding or text lacks (U+0000)
		return classWidth
	case "40001", "40P01": // serialization failure, deadlock
		return classDeadlock
	case "25006", "55P03", "3D000": // read-only, lock not available in time, no such database
		return classUnavailable
	}
	if len(state) < 2 {
		return classOther
	}
	switch state[:2] {
	case "08", "28", "53", "58": // connection, login, resources, system
		return classUnavailable
	case "57":
		if state != "57014" { // a cancelled query; the others are shutdowns
			return classUnavailable
		}
	}
	return classOther
}

// mysqlClass sorts error numbers (source: the error references of MySQL 8.0 and MariaDB 10.11).
func mysqlClass(number uint16) class {
	switch number {
	case 1062, 1586:
		return classUnique
	case 1216, 1217, 1451, 1452:
		return classForeignKey
	case 1048, 3819, 4025:
		return classCheck
	case 1264, 1366, 1406, 3988: // out of range, a character that the column's set lacks, too long
		return classWidth
	case 1020, 1213: // the row has changed since it was read, deadlock
		return classDeadlock
	case 1021, 1037, 1038, 1040, 1041, 1044, 1045, 1049, 1053, 1114, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1226, 1290, 1836, 1927, 3024:
		return classUnavailable
	}
	return classOther
}

func lostConnection(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	for _, known := range []error{sql.ErrConnDone, errClosed, errSchemaLocked, driver.ErrBadConn, mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || strings.HasPrefix(err.Error(), "sql: database is closed")
}

// Classify gives a database error its MLflow code: INVALID_PARAMETER_VALUE for a value that its column cannot hold,
// TEMPORARILY_UNAVAILABLE for a database that cannot answer now, DEADLINE_EXCEEDED and CANCELLED for the context's, else
// INTERNAL_ERROR. The client sees a plain sentence, the log the cause.
// nil and errors that carry a code already are returned as they are; sql.ErrNoRows is the store's own business and is, too.
func Classify(err error) error {
	var coded *mlflow.Error
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), errors.As(err, &coded):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &mlflow.Error{Code: mlflow.DeadlineExceeded, Message: "the database did not answer in time", Cause: err}
	case errors.Is(err, context.Canceled):
		return &mlflow.Error{Code: mlflow.Cancelled, Message: "the request was cancelled", Cause: err}
	}
	switch classOf(err) {
	case classUnavailable, classDeadlock:
		return &mlflow.Error{Code: mlflow.TemporarilyUnavailable, Message: "the database cannot answer now", Cause: err}
	case classWidth:
		return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: "a value is too long or too large for the database", Cause: err}
	}
	return &mlflow.Error{Code: mlflow.InternalError, Message: "the database refused the statement", Cause: err}
}
