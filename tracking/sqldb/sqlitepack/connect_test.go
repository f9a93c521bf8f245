package sqlitepack_test

import (
	"context"
	"database/sql/driver"
)

// dsnConnector opens databases in memory without registering a driver by name.
type dsnConnector struct{ driver driver.Driver }

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(":memory:") }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }
